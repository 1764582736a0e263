"""What a training run is told: one flat, checked set of options.

Precedence: the defaults below, the spec's `train:`, a file given with `--config`, the flags.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean

__all__ = ["Precision", "TrainConfig", "data_folder", "resolve_config"]

Count = Annotated[int, Field(strict=True, ge=1, le=2**31 - 1)]
Natural = Annotated[int, Field(strict=True, ge=0, le=2**31 - 1)]
Seed = Annotated[int, Field(strict=True, ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
Precision = Literal["fp32", "bf16", "fp16"]
Word = Annotated[str, Field(strict=True, min_length=1, max_length=4096)]


class TrainConfig(BaseModel):
    """Everything that decides how a training run goes. The field's name is the flag's: `batch_size`, `--batch-size`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, object]]:
        """For `repr`: the options that are not the defaults."""
        return [(name, value) for name, value in self if value != type(self).model_fields[name].default]

    # Data
    data: Word = Field("digits", description="digits, mnist, …, a folder of images, or a .npz file")
    data_dir: Word | None = Field(None, description="where downloaded data sets lie (default: $CNNSPEC_DATA)")
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.1, description="the part of the training images, stratified by class, on which the best epoch is chosen"
    )
    skip_bad: Flag = Field(False, description="leave out images that cannot be read, instead of stopping")
    loading: Literal["auto", "resident", "streaming"] = Field(
        "auto", description="keep all images of a folder in memory, or decode them while training"
    )
    workers: Natural | None = Field(
        None, description="processes that decode images while training on streamed data; by the cores where not given"
    )
    cache: Word | None = Field(None, description="a folder that keeps decoded images for streaming")

    # Augmentation, in pixels of the network's input
    rotate: Annotated[float, Field(ge=0, le=180)] = Field(10.0, description="largest rotation, in degrees")
    shift: Natural = Field(2, description="largest shift along each axis, in pixels")
    flip: Flag = Field(False, description="mirror half of the images")
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
    loss: Literal["cross-entropy", "squared-error"] = Field(
        "cross-entropy", description="squared-error is half the sum of (target - probability)²"
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
    weights: Word | None = Field(None, description="weights to start from")
    reset: tuple[Word, ...] = Field((), description="layers that start fresh in spite of `weights`")
    freeze: tuple[Word, ...] = Field((), description="layers that stay as they are, their batch norm's statistics too")

    # Machine
    device: Word = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Precision = Field("fp32", description="of the arithmetic; weights stay fp32")
    tf32: Flag = Field(True, description="on CUDA, round the factors of fp32 products to TF32's 10 bits: sooner")
    threads: Count | None = Field(None, description="threads on the CPU; measured where not given")
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


def resolve_config(*layers: tuple[str, Mapping[str, object]]) -> TrainConfig:
    """The configuration of several layers, each with its name for messages; a later one wins.

    Raises UsageError that names the layer, the option and what is wrong with it.
    """
    merged: dict[str, tuple[object, str]] = {}
    for source, options in layers:
        for key, value in options.items():
            if key not in TrainConfig.model_fields:
                raise UsageError(
                    f"{source}: there is no training option `{key}`", hint=did_you_mean(key, TrainConfig.model_fields)
                )
            if value is not None:
                merged[key] = (value, source)
    try:
        return TrainConfig.model_validate({key: value for key, (value, _) in merged.items()})
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        key = str(fault["loc"][0])
        raise UsageError(f"{merged[key][1]}: `{key}`: {fault['msg'][0].lower()}{fault['msg'][1:]}") from None


def data_folder(config: TrainConfig, environment: Mapping[str, str]) -> Path:
    """Where downloaded data sets lie: `data_dir`, else `$CNNSPEC_DATA`, else `~/.cache/cnnspec`."""
    return Path(config.data_dir or environment.get("CNNSPEC_DATA") or Path.home() / ".cache" / "cnnspec").expanduser()
