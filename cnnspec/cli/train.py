"""`cnnspec train`: train a network and keep everything about it in a run folder."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, get_args, get_origin

import typer
from pydantic.fields import FieldInfo

from cnnspec import api
from cnnspec.api import Progress, TrainConfig
from cnnspec.api.terms import Interrupted, figures_line, read_config, speaks
from cnnspec.cli import common
from cnnspec.cli.render.foreign import visible
from cnnspec.cli.render.progress import watch
from cnnspec.errors import UsageError
from cnnspec.interrupts import Stopped

if TYPE_CHECKING:
    from cnnspec.api import TrainResult

app = typer.Typer()

FORMATS: Final = ("text", "json")

PANELS: Final = {  # of the help page, by the first of their options
    "data": "Data",
    "rotate": "Augmentation",
    "epochs": "Optimisation",
    "schedule": "Schedule of the learning rate",
    "loss": "Loss",
    "clip": "Steadiness and stopping",
    "seed": "Start",
    "device": "Machine",
}
TEXTS: Final = {
    "data": "DATA", "data_dir": "DIR", "cache": "DIR", "weights": "FILE", "device": "DEVICE",
    "freeze_until": "LAYER", "unfreeze": "LAYER=EPOCH,...", "lr_scale": "LAYER=X,...",
}  # fmt: skip
ON_RESUME: Final = (
    "epochs",
    "patience",
    "device",
    "checkpoint_every",
    "data",
    "max_pixels",
)  # what may be given anew to a run that continues


def train(
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC", help="A path, or the name of a bundled network.", show_default=False)
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", "-o", metavar="NAME", help="The run's name, below `--runs`.")
    ] = None,
    runs: Annotated[str, typer.Option(metavar="DIR", help="The folder of all runs.")] = "runs",
    resume: Annotated[str | None, typer.Option(metavar="RUN", help="Continue this run folder.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start afresh where a run of this name is.")] = False,
    config: Annotated[str | None, typer.Option(metavar="FILE", help="Options from a YAML file.")] = None,
    form: Annotated[str, common.format_option(FORMATS, "How to print the result.")] = "text",
    input_shape: common.InputOption = None,
    variant: common.VariantOption = None,
    settings: common.SetOption = None,
    **options: Any,
) -> None:
    """Train a network. The run folder keeps weights, figures and what is needed to continue or to repeat it.

    Examples:

      cnnspec train lenet5 --data digits --name demo

      cnnspec train lenet5 --data mnist --epochs 20 --seed 1

      cnnspec train resnet18 --data photos/ --set num_classes=5 --batch-size 64

      cnnspec train --resume runs/demo --epochs 40
    """
    common.check_choice("--format", form, FORMATS)
    given = {key: _value(key, value) for key, value in options.items() if value is not None}
    if resume is not None:
        other = [key for key in given if key not in ON_RESUME]
        if spec or name or overwrite or config or input_shape or variant or settings or other:
            raise UsageError(
                "--resume takes the network and the options from the run",
                hint=f"only {', '.join('--' + key.replace('_', '-') for key in ON_RESUME)} can be given anew;"
                f" `--weights {resume}/last.safetensors` starts another run from what this one has learned",
            )
        with _watched() as progress:
            result = api.resume(resume, progress=progress, **given)
    elif spec is None:
        raise UsageError("which network?", hint="`cnnspec train lenet5`, or `cnnspec train --resume runs/lenet5`")
    elif (run := api.find_run(spec, or_spec=True)) is not None:
        raise UsageError(f"{run} is a run", hint=f"`--resume {run}` continues it; the spec in it starts anew")
    else:
        written = read_config(config)[0] if config is not None else {}
        network = common.load_spec(
            spec,
            variant=variant or written.get("variant"),
            settings=[*(f"{key}={value}" for key, value in (written.get("set") or {}).items()), *(settings or [])],
            input_shape=input_shape or "x".join(map(str, written.get("input") or [])) or None,
            purpose="train",
        )
        if "weights" in given:
            common.tell_of_weights(given["weights"])
        with _watched() as progress:
            result = api.train(
                network,
                config=config,
                name=name,
                runs=runs,
                existing="overwrite" if overwrite else "refuse",
                progress=progress,
                **given,
            )
    if speaks():
        common.print_result(form, lambda: {"cnnspec": 1, **result.to_dict()}, lambda: _text(result))


def _text(result: TrainResult) -> str:
    figure, value = result.best
    best = f"best epoch {result.best_epoch} of {result.epochs}, {figure.named(value)} in validation"
    lines = [f"{visible(result.run)}: {best}"]
    if result.test_images and result.task == "classification":
        lines.append(f"{result.test_accuracy:.2%} of {result.test_images:,} test {result.inputs} are recognised")
    elif result.test_images:
        lines.append(f"{result.test_images:,} test {result.inputs}: {figures_line(result.test)}")
    return "\n".join(lines)


@contextmanager
def _watched() -> Iterator[Progress]:
    """Progress on stderr. That a signal ended the run is said once, and not by each of its processes."""
    try:
        with watch(sys.stderr) as progress:
            yield progress
    except (Interrupted, Stopped) as error:
        if speaks():
            raise
        raise SystemExit(error.exit_code) from error


def _options() -> Iterator[inspect.Parameter]:
    """The flags of the training options: the list of them is TrainConfig alone."""
    panel = ""
    for name, field in TrainConfig.model_fields.items():
        panel = PANELS.get(name, panel)
        yield _option(name, field, panel)


def _option(name: str, field: FieldInfo, panel: str) -> inspect.Parameter:
    flag = "--" + name.replace("_", "-")
    kinds = {str if get_origin(part) in (Literal, tuple, dict) else part for part in _parts(field.annotation)}
    default = "" if field.default in (None, (), {}) else f" (default: {field.default})"
    if kinds == {bool}:
        default = " (default: yes)" if field.default else ""
        kind: Any = bool
        decl, metavar = f"{flag}/--no-{flag[2:]}", ""
    else:
        kind = int if kinds == {int} else float if kinds <= {int, float} else str
        words = "|".join(get_args(field.annotation) if get_origin(field.annotation) is Literal else ())
        decl, metavar = flag, words or {int: "N", float: "X"}.get(kind) or TEXTS.get(name, "LIST")
    info = typer.Option(
        decl, help=f"{field.description}{default}", show_default=False, metavar=metavar, rich_help_panel=panel
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, info]
    )


def _parts(annotation: Any) -> Iterator[Any]:
    """What an option's type may be, one by one, without None: `int`, a tuple, a Literal."""
    if get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _parts(part)
    elif get_origin(annotation) is Annotated:
        yield from _parts(get_args(annotation)[0])
    elif annotation is not type(None):
        yield annotation


def _value(name: str, value: Any) -> Any:
    """A flag's value as the option wants it: lists are written with commas, but a word that it knows is one."""
    parts = [*_parts(TrainConfig.model_fields[name].annotation)]
    if any(get_origin(part) is dict for part in parts):
        pairs = [_pair(name, part.strip()) for part in value.split(",") if part.strip()]
        layers = [layer for layer, _ in pairs]
        if twice := next((layer for layer in layers if layers.count(layer) > 1), None):
            raise UsageError(f"`--{name.replace('_', '-')}` gives `{twice}` two numbers")
        return dict(pairs)
    words = {word for part in parts if get_origin(part) is Literal for word in get_args(part)}
    if value in words or not any(get_origin(part) is tuple for part in parts):
        return value
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _pair(name: str, text: str) -> tuple[str, int | float]:
    """`layer4=0.3` of a flag that gives layers numbers. Raises UsageError."""
    layer, _, number = (part.strip() for part in text.rpartition("="))
    for kind in (int, float):
        with suppress(ValueError):
            return layer, kind(number) if layer else kind("")
    flag = "--" + name.replace("_", "-")
    raise UsageError(f"`{flag}` gives numbers to layers, and `{text:.60}` does not", hint=f"`{flag} fc=2,layer4=3`")


_signature = inspect.signature(train, eval_str=True)
_fixed = [p for p in _signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
_flags = [*_options()]
train.__signature__ = _signature.replace(parameters=[*_fixed, *_flags])  # type: ignore[attr-defined]
train.__annotations__ = {p.name: p.annotation for p in [*_fixed, *_flags]} | {"return": None}
app.command()(train)
