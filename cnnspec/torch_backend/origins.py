"""Where a module of torch comes from when its source is named: a Python file, a library of models, an exported program.

All of this runs code of others. What that code raises is told as an error of the source.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import io
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import nn

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.hints import did_you_mean
from cnnspec.ops import Shape

__all__ = ["Origin", "from_file", "from_timm", "from_torchvision", "make_module", "place_of"]


_TORCH: Final = str(Path(torch.__file__).parent)
_HERE: Final = str(Path(__file__).parent)
_SHOWN: Final = 6  # names that a message lists


@dataclass(frozen=True)
class Origin:
    """A module as its source makes it, and what the source says of its input."""

    module: nn.Module
    input_shape: Shape | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def from_file(path: Path, name: str, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Origin:
    """What a function or a class of a Python file makes, or a module that the file holds. Runs the file."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    package = _package(path)
    folder = path.resolve().parent
    places = [str(folder), *([str(folder.parents[len(package) - 1])] if package else [])]
    sys.path[:0] = places
    try:
        with _told(str(path)):
            loaded = importlib.import_module(".".join((*package, path.stem))) if package else _loaded(path)
        made: Any = loaded
        for part in name.split("."):
            if not hasattr(made, part):
                raise UsageError(f"{path} has no `{name}`", hint=did_you_mean(part, _makers(loaded)) or _has(loaded))
            made = getattr(made, part)
        if not isinstance(made, nn.Module):
            if not callable(made):
                raise UsageError(f"`{name}` of {path} is no function and no class")
            made = make_module(f"{path}:{name}", made, positional, arguments)
    finally:
        for place in places:
            sys.path.remove(place)
    return Origin(made)


def _loaded(path: Path) -> ModuleType:
    """The module that a file is by itself."""
    spec = importlib.util.spec_from_file_location(f"cnnspec_source_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _package(path: Path) -> tuple[str, ...]:
    """The packages that a file is part of, the outermost first: folders with an `__init__.py`.

    None where another package of that name is loaded: the file is one by itself then.
    """
    found: list[str] = []
    folder = path.resolve().parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier() and path.stem.isidentifier():
        found.insert(0, folder.name)
        folder = folder.parent
    loaded = sys.modules.get(found[0]) if found else None
    taken = loaded is not None and getattr(loaded, "__file__", None) != str(folder / found[0] / "__init__.py")
    return () if taken else tuple(found)


def _makers(loaded: object) -> list[str]:
    """What a file itself has that may make a network."""
    here = getattr(loaded, "__name__", "")
    return [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and (isinstance(value, nn.Module) or getattr(value, "__module__", "") == here)
    ]


def _has(loaded: object) -> str | None:
    names = _makers(loaded)
    return (
        f"it has {', '.join(f'`{name}`' for name in names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
        if names
        else None
    )


def from_timm(name: str, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Origin:
    """A model of timm, without trained weights unless `pretrained=True` asks for them."""
    import timm

    if not timm.is_model(name):
        raise UsageError(f"timm {timm.__version__} has no model `{name}`", hint=did_you_mean(name, timm.list_models()))
    module = make_module(f"timm:{name}", timm.create_model, (name, *positional), arguments)
    known: Mapping[str, Any] = getattr(module, "pretrained_cfg", None) or {}
    shape = known.get("input_size")
    mean, std = (tuple(map(float, known.get(key) or ())) for key in ("mean", "std"))
    return Origin(module, tuple(shape) if shape else None, mean, std)


def from_torchvision(name: str, positional: tuple[Any, ...], arguments: Mapping[str, Any]) -> Origin:
    """A model of torchvision, without trained weights unless `weights=` asks for them."""
    from torchvision import models

    if name not in models.list_models():
        raise UsageError(f"torchvision has no model `{name}`", hint=did_you_mean(name, models.list_models()))
    builder = models.get_model_builder(name)
    given = {"weights": None, **arguments}
    if given["weights"] is None and "weights_backbone" in inspect.signature(builder).parameters:
        given.setdefault("weights_backbone", None)
    if name in ("googlenet", "inception_v3"):
        given.setdefault("init_weights", False)  # which takes half a minute
    module = make_module(f"torchvision:{name}", builder, positional, given)
    shape, mean, std = _prepared(models.get_model_weights(name))
    return Origin(module, shape, mean, std)


def _prepared(weights: Any) -> tuple[Shape, tuple[float, ...], tuple[float, ...]]:
    """The input that the published weights were made for."""
    best = weights.DEFAULT
    preset = best.transforms()
    crop = getattr(preset, "crop_size", None) or 224
    axes = tuple(crop) if isinstance(crop, (list, tuple)) else (crop,)
    axes = axes * 2 if len(axes) == 1 else axes
    video = ".video." in type(best).__module__
    return (3, *((16,) if video else ()), *axes), tuple(preset.mean), tuple(preset.std)


def make_module(
    what: str, function: Callable[..., Any], positional: tuple[Any, ...], arguments: Mapping[str, Any]
) -> nn.Module:
    """The module that code of others makes, always with the same random numbers. What it raises is a CnnspecError."""
    _check_arguments(what, function, positional, arguments)
    with _told(what), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = function(*positional, **arguments)
    if not isinstance(made, nn.Module):
        raise UsageError(f"{what} gives `{type(made).__name__}`, and no torch.nn.Module")
    return made


def _check_arguments(
    what: str, function: Callable[..., Any], positional: tuple[Any, ...], arguments: Mapping[str, Any]
) -> None:
    """Raise UsageError for arguments that a function does not take, as far as it says what it takes."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*positional, **arguments)
    except TypeError as error:
        hint = did_you_mean(
            next((name for name in arguments if name not in signature.parameters), ""), signature.parameters
        )
        raise UsageError(
            f"{what} takes other arguments: {error}", hint=hint or f"it is {what.rpartition(':')[2]}{signature}"
        ) from None


@contextmanager
def _told(what: str) -> Iterator[None]:
    """What code of others raises, as an error of it; what it prints and warns of is not ours to print."""
    try:
        with warnings.catch_warnings(action="ignore"), redirect_stdout(io.StringIO()):
            yield
    except CnnspecError:
        raise
    except (Exception, SystemExit) as error:
        lines = str(error).strip().splitlines()
        reason = f": {lines[0]:.200}" if lines else ""
        relative = isinstance(error, ImportError) and "relative import" in reason
        hint = "name it from a file beside its package: `from package.file import Net`" if relative else None
        raise CnnspecError(f"{what} raises {type(error).__name__}{place_of(error)}{reason}", hint=hint) from error


def place_of(error: BaseException) -> str:
    """Where code of others raised this: the last line that is neither torch's nor ours; empty where none is."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((_TORCH, _HERE, "<"))]
    return f" in line {own[-1].lineno} of {Path(own[-1].filename).name}" if own else ""
