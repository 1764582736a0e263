"""From the name of a source to what it computes. Which reader a file has is decided by its suffix."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from cnnspec.errors import UsageError, needs_extra
from cnnspec.importing.sources import Named, SourceName
from cnnspec.ops import Shape

if TYPE_CHECKING:
    from cnnspec.importing.model import Model
    from cnnspec.torch_backend.origins import Origin

__all__ = ["READERS", "read_models"]

Reader: TypeAlias = "Callable[[Path, Shape | None], Model]"

# Of files that run nothing: where the function is that reads one, with another input shape where that is given.
READERS: Final[dict[str, str]] = {
    ".onnx": "cnnspec.importing.onnx_model:read_onnx_model",
    ".keras": "cnnspec.importing.keras_model:read_keras_model",
    ".json": "cnnspec.importing.keras_model:read_keras_model",
}


def read_models(source: SourceName, input_shape: Shape | None) -> list[Model]:
    """The networks of a source, each of one input. Raises UsageError and CnnspecError."""
    if source.kind != "file":
        return [_torch_model(source, named, input_shape) for named in source.named or (None,)]
    assert source.path is not None
    suffix = source.path.suffix.lower()
    if suffix not in READERS:
        hint = '`keras.models.load_model("old.h5").save("new.keras")` writes the format that is read'
        raise UsageError(f"{source.text} is a file of Keras 2, which is not read", hint=hint)
    module, _, function = READERS[suffix].partition(":")
    read: Reader = getattr(importlib.import_module(module), function)
    return [read(source.path, input_shape)]


@needs_extra("train")
def _torch_model(source: SourceName, named: Named | None, input_shape: Shape | None) -> Model:
    from cnnspec.torch_backend.capture import capture, load_program

    if named is None:
        assert source.path is not None
        return load_program(source.path, source.stem)
    origin = _origin(source, named)
    shape = input_shape or origin.input_shape
    if shape is None:
        raise UsageError(f"{source.text} does not say what it reads", hint="`--input 3x224x224` says it")
    captured = capture(origin.module, shape, named.name)
    fits = len(origin.mean) in (1, shape[0]) and len(origin.std) in (1, shape[0])
    mean, std = (origin.mean, origin.std) if fits else ((), ())
    return replace(captured, network=replace(captured.network, mean=mean, std=std))


def _origin(source: SourceName, named: Named) -> Origin:
    from cnnspec.torch_backend import origins

    if source.kind == "python":
        assert source.path is not None
        return origins.from_file(source.path, named.name, named.positional, named.arguments)
    make = origins.from_timm if source.kind == "timm" else origins.from_torchvision
    return make(named.name, named.positional, named.arguments)
