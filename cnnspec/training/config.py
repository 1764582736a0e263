"""What a training run is told: one flat, checked set of options.

Precedence: the defaults below, the spec's `train:`, a file given with `--config`, the flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, ModelWrapValidatorHandler, ValidationError, model_validator

from cnnspec.analysis.freezing import Freezing
from cnnspec.errors import Diagnostic, UsageError
from cnnspec.files import expand_user
from cnnspec.hints import did_you_mean
from cnnspec.language import Source
from cnnspec.language.document import SearchSection
from cnnspec.limits import MAX_THREADS
from cnnspec.places import Suggestion

__all__ = [
    "MAY_CHANGE", "OptionError", "OptionFault", "Precision", "Seed", "TrainConfig", "data_folder", "option_faults",
    "options_schema", "resolve_config", "space_faults", "spec_faults",
]  # fmt: skip

Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Later = Annotated[int, Field(strict=True, ge=2, le=2**31 - 1)]
Natural = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Threads = Annotated[int, Field(strict=True, ge=1, le=MAX_THREADS)]
Workers = Annotated[int, Field(strict=True, ge=0, le=MAX_THREADS)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Loss = Literal[
    "cross-entropy", "squared-error", "binary-cross-entropy", "absolute-error", "huber", "dice", "cross-entropy+dice"
]
Precision = Literal["fp32", "bf16", "fp16"]
Augmentation = Literal["photo", "digits", "none"]
Word = Annotated[str, Field(strict=True, min_length=1, max_length=4096)]

LISTED: Final = "`cnnspec train --help` lists them, with `-` for `_`"

# What the words of `augment` stand for.
PRESETS: Final[dict[object, dict[str, object]]] = {
    "photo": {"rotate": 0.0, "shift": 0, "flip": True, "crop": 0.08, "jitter": 0.2, "standardise": True},
    "digits": {"rotate": 10.0, "shift": 2},
    "none": {"rotate": 0.0, "shift": 0},
}

# Options that may change between two parts of a run: where it runs, and when it ends.
MAY_CHANGE: Final = {
    "cache", "channels_last", "checkpoint_every", "compile", "cuda_graph", "data", "data_dir", "device", "epochs",
    "loading", "max_pixels", "patience", "pool_first", "skip_bad", "steps_per_graph", "tensorboard", "threads",
    "weights", "workers",
}  # fmt: skip

# What cannot vary in a search: where and how long a trial trains, and the images that trials are compared on.
SAME_FOR_ALL: Final = MAY_CHANGE | {"val_fraction"}


class OptionError(UsageError):
    """Training options cannot be what they are given; `faults` says what is wrong, by their names."""

    def __init__(self, faults: Mapping[str, str]) -> None:
        super().__init__("; ".join(f"`{option}`: {fault}" for option, fault in faults.items()))
        self.faults = faults


class TrainConfig(BaseModel):
    """Everything that decides how a training run goes. The field's name is the flag's: `batch_size`, `--batch-size`.

    Raises OptionError, a UsageError, for a value that an option cannot have.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """For `repr`: the options that are not the defaults."""
        return [(name, value) for name, value in self if value != type(self).model_fields[name].default]

    # Data
    data: Word = Field("digits", description="digits, mnist, …, a folder, an archive, shards, a .npz or a .csv file")
    data_dir: Word | None = Field(None, description="where downloaded data sets lie (default: $CNNSPEC_DATA)")
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="the part of the training images, stratified by class, on which the best epoch is chosen"
    )
    skip_bad: Flag = Field(False, description="leave out images that cannot be read, instead of stopping")
    max_pixels: Count | None = Field(
        None, description="the most pixels of an image file that is decoded (default: 89 million)"
    )
    loading: Literal["auto", "resident", "streaming"] = Field(
        "auto", description="keep all images of a folder in memory, or decode them while training"
    )
    workers: Workers | None = Field(
        None, description="processes or threads that decode streamed data while training; by the cores where not given"
    )
    cache: Word | None = Field(None, description="a folder that keeps decoded images for streaming")

    standardise: Flag = Field(
        False,
        description="measure mean and std on the training images where the spec has none, as `augment: photo` does",
    )

    # Augmentation, in pixels of the network's input
    augment: Augmentation | None = Field(
        None,
        description="photo: flips, random crops, colours; digits: rotate and shift; none. What is given beside it wins",
    )
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(10.0, description="largest rotation, in degrees")
    shift: Natural = Field(2, description="largest shift along each axis, in pixels")
    flip: Flag = Field(False, description="mirror half of the images")
    crop: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="smallest share of an image's area that a random crop of it has; 1 crops nothing"
    )
    jitter: Fraction = Field(0.0, description="largest change of brightness, contrast and saturation, as a share")
    policy: Literal["none", "randaugment", "trivialaugment"] = Field(
        "none", description="torchvision's RandAugment (Cubuk et al. 2019) or TrivialAugment (Müller and Hutter 2021)"
    )
    erase: Fraction = Field(0.0, description="probability that a random rectangle is blanked (Zhong et al. 2017)")
    mixup: NonNegative = Field(0.0, description="alpha of mixup; 0 is off (Zhang et al. 2017)")

    # Optimisation
    epochs: Count = Field(30, description="passes over the training images")
    batch_size: Count = Field(32, description="images per step, over all processes")
    accumulate: Count = Field(1, description="parts into which each batch is cut to save memory")
    optimizer: Literal["sgd", "adam", "adamw"] = Field("sgd", description="update rule")
    lr: Positive = Field(0.05, description="peak learning rate")
    momentum: Fraction = Field(0.9, description="momentum, for SGD")
    nesterov: Flag = Field(False, description="Nesterov's momentum, for SGD")
    weight_decay: NonNegative = Field(5e-4, description="weight decay")
    decay_norms: Flag = Field(True, description="decay normalisation weights and biases too")
    schedule: Literal["constant", "step", "cosine", "one-cycle"] = Field(
        "one-cycle", description="course of the learning rate"
    )
    warmup: Fraction | None = Field(
        None, description="share of the steps in which the rate rises: 0.3 in one-cycle, 0 in cosine"
    )
    step_epochs: Count = Field(10, description="epochs after which `step` lowers the learning rate")
    step_factor: Positive = Field(0.1, description="by which `step` multiplies it")
    loss: Loss | None = Field(
        None,
        description="by the task where not given: cross-entropy of classes, squared-error of numbers; squared-error of"
        " classes is half the sum of (target - probability)²",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="label smoothing, for cross-entropy")
    class_weights: tuple[Positive, ...] | Literal["balanced"] | None = Field(
        None, description="weight of each class in the loss; `balanced` is n / (classes * count)"
    )
    aux_weight: NonNegative = Field(0.3, description="weight of auxiliary heads in the loss (Szegedy et al. 2014)")
    clip: Positive | None = Field(None, description="largest norm of the gradient")
    ema: Annotated[float, Field(gt=0, lt=1)] | None = Field(None, description="decay of averaged weights")
    patience: Count | None = Field(None, description="stop after this many epochs without a better one")

    # Start
    seed: Seed = Field(0, description="of initialisation, order, augmentation and splits")
    init: Literal["torch", "xavier", "kaiming", "orthogonal"] = Field("torch", description="initialisation of weights")
    weights: Word | None = Field(
        None, description="weights to start from: a file, a run, `torchvision:IMAGENET1K_V1`, `timm:NAME`, or a SOURCE"
    )
    reset: tuple[Word, ...] = Field((), description="layers that start fresh in spite of `weights`")
    leave_out: tuple[Word, ...] = Field((), description="layers of `weights` that the network does not have")
    freeze: tuple[Word, ...] = Field((), description="layers that stay as they are, their batch norm's statistics too")
    freeze_until: Word | None = Field(None, description="freeze all layers that run before this one")
    head_only: Flag = Field(False, description="freeze all layers but the last, from which the outputs come")
    unfreeze: dict[Word, Later] = Field(
        {}, description="frozen layers that are trained from an epoch on: `layer4=3,layer3=6`; `*` is all of them"
    )
    lr_scale: dict[Word, Positive] = Field(
        {}, description="what multiplies the learning rate of layers: `layer4=0.3,layer3=0.1`; `*` is all others"
    )

    # Machine
    device: Word = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Precision = Field("fp32", description="of the arithmetic; weights stay fp32")
    tf32: Flag = Field(True, description="on CUDA, round the factors of fp32 products to TF32's 10 bits: sooner")
    threads: Threads | None = Field(None, description="threads on the CPU; measured where not given")
    compile: Flag = Field(False, description="use torch.compile")
    channels_last: Flag | None = Field(None, description="memory layout; measured where not given")
    cuda_graph: Flag = Field(True, description="on CUDA, record a training step once and replay it, where that can be")
    steps_per_graph: Count | None = Field(
        None, description="steps recorded as one; by the length of an epoch where not given"
    )
    pool_first: Flag = Field(
        True, description="run max pools before the ReLUs that they read: the same results, sooner"
    )
    sync_norm: Flag = Field(False, description="batch norm over all processes; on CUDA")
    deterministic: Flag = Field(False, description="only deterministic kernels")
    checkpoint_every: NonNegative = Field(10.0, description="seconds between checkpoints within an epoch")
    tensorboard: Flag = Field(False, description="write TensorBoard event files")

    @property
    def varied(self) -> bool:
        """Whether training images are varied at random."""
        moved = self.rotate or self.shift or self.flip or self.erase
        return bool(moved or self.crop < 1 or self.jitter or self.policy != "none")

    @property
    def freezing(self) -> Freezing:
        """What `freeze`, `freeze_until`, `head_only` and `unfreeze` say together."""
        return Freezing(self.freeze, self.freeze_until, self.head_only, tuple(self.unfreeze.items()))

    @model_validator(mode="wrap")
    @classmethod
    def _tell(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            word = values.get("augment") if isinstance(values, dict) else None
            preset = PRESETS.get(word) if isinstance(word, str) else None
            return handler(values if preset is None else preset | values)
        except ValidationError as error:
            faults: dict[str, str] = {}
            for fault in error.errors(include_url=False):
                option, *inner = map(str, fault["loc"])
                key = f"{inner[0]}: " if option in ("unfreeze", "lr_scale") and inner else ""
                faults.setdefault(option, f"{key}{fault['msg'][:1].lower()}{fault['msg'][1:]}")
            raise OptionError(faults) from None


class OptionFault(NamedTuple):
    """What is wrong with one option."""

    key: str
    message: str
    unknown: bool  # the key itself, and not its value
    hint: Suggestion | None = None


def option_faults(options: Mapping[str, object]) -> list[OptionFault]:
    """Everything that is wrong with these options, one fault for each, in their order."""
    known = TrainConfig.model_fields
    values = {key: value for key, value in options.items() if key in known and value is not None}
    wrong: Mapping[str, str] = {}
    try:
        TrainConfig.model_validate(values)
    except OptionError as error:
        wrong = error.faults
    return [
        OptionFault(key, wrong[key], False, _meant(key, options[key]))
        if key in wrong
        else OptionFault(key, f"there is no training option `{key:.60}`", True, did_you_mean(key, known))
        for key in options
        if key in wrong or key not in known
    ]


def _meant(key: str, value: object) -> Suggestion | None:
    """The word that an option takes in place of a value that it does not."""
    words: list[str] = []
    for choice in options_schema()["properties"][key]["anyOf"]:
        words += choice.get("enum", [choice["const"]] if "const" in choice else ())
    return did_you_mean(value, words) if isinstance(value, str) else None


def options_schema() -> dict[str, Any]:
    """A JSON Schema of the options as a spec has them below `train:`; null stands for the default."""
    known = TrainConfig.model_json_schema()["properties"]
    options = {}
    for name, rule in known.items():
        told = {key: rule.pop(key) for key in ("description", "default") if rule.get(key) is not None}
        rule.pop("title", None)
        rule.pop("default", None)
        choices = rule["anyOf"] if set(rule) == {"anyOf"} else [rule]
        null = {"type": "null"}
        options[name] = {**told, "anyOf": [*(each for each in choices if each != null), null]}
    described = "how `cnnspec train` trains it, where no flag says otherwise"
    return {"type": "object", "description": described, "properties": options, "additionalProperties": False}


def spec_faults(source: Source) -> list[Diagnostic]:
    """What is wrong with the options that a spec names below `train:` and in its `search:`, with their places."""
    document = source.document
    faults = []
    for fault in option_faults(document.header.train):
        place = document.train_places[fault.key][0 if fault.unknown else 1]
        message = fault.message if fault.unknown else f"`{fault.key}` of `train`: {fault.message}"
        listed = None if fault.hint or not fault.unknown else LISTED
        faults.append(Diagnostic("E107", message, place, fault.hint, help=listed))
    return [*faults, *(space_faults(document.search) if document.search is not None else ())]


def space_faults(section: SearchSection) -> Iterator[Diagnostic]:
    """What is wrong with the options that a search lets vary, with their places: one fault of a kind for each."""
    for domain in section.space.values():
        if domain.option is None:
            continue
        if domain.option in SAME_FOR_ALL:
            hint = "`epochs: 8` of the search is the most of each trial" if domain.option == "epochs" else None
            yield Diagnostic("E120", f"`{domain.name}` is the same for all trials of a search", domain.place, help=hint)
            continue
        told = set()
        for value, (_, place) in zip(domain.values, domain.written, strict=True):
            fault = next(iter(option_faults({domain.option: value})), None)
            if fault is None and value is not None:
                continue
            if fault is not None and fault.unknown:
                yield Diagnostic("E120", fault.message, domain.place, fault.hint, help=None if fault.hint else LISTED)
                break
            message = "null is no value" if fault is None else fault.message
            if message not in told:
                told.add(message)
                yield Diagnostic(
                    "E120", f"`{domain.name}`: {message}", place, fault.hint if fault is not None else None
                )


def resolve_config(*layers: tuple[str, Mapping[str, object]]) -> TrainConfig:
    """The configuration of several layers, each with its name for messages; a later one wins.

    Raises UsageError that names the layer, and every option of it with what is wrong.
    """
    merged: dict[str, object] = {}
    for source, options in layers:
        faults = option_faults(options)
        if faults:
            told = [fault.message if fault.unknown else f"`{fault.key}`: {fault.message}" for fault in faults]
            hints = [fault.hint for fault in faults if fault.hint]
            raise UsageError(f"{source}: {'; '.join(told)}", hint=", ".join(hints) or None)
        merged.update((key, value) for key, value in options.items() if value is not None)
    return TrainConfig.model_validate(merged)


def data_folder(config: TrainConfig, environment: Mapping[str, str]) -> Path:
    """Where downloaded data sets lie: `data_dir`, else `$CNNSPEC_DATA`, else `~/.cache/cnnspec`."""
    return expand_user(config.data_dir or environment.get("CNNSPEC_DATA") or "~/.cache/cnnspec")
