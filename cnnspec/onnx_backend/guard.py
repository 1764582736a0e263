"""Reading ONNX files from strangers, and what none of them may have, wherever in it that stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from cnnspec.errors import CnnspecError, UsageError

__all__ = [
    "DOMAINS", "MAX_MODEL_BYTES", "MAX_NODES", "bring_in", "check_parts", "open_model", "parsed", "read_model_bytes",
]  # fmt: skip

MAX_MODEL_BYTES: Final = 2**31 - 1  # of one protobuf message
MAX_NODES: Final = 200_000
DOMAINS: Final = ("", "ai.onnx", "com.microsoft")
EXTERNAL: Final = "it wants to read other files (external data), which is refused"


@contextmanager
def open_model(path: Path) -> Iterator[BinaryIO]:
    """A model file to read from. Raises UsageError where there is none, and CnnspecError where it is too large."""
    try:
        if path.is_dir():
            hint = f"`cnnspec export {path}` writes the ONNX file of a run"
            raise UsageError(f"{path} is a directory, not an ONNX file", hint=hint)
        if not path.is_file():
            what = f"{path} is not a regular file" if path.exists() else f"there is no file {path}"
            from cnnspec.zoo import find_run  # which reads specs, and no model waits for that

            run = find_run(path)
            hint = (
                f"`cnnspec export {run}` writes that of the run"
                if run
                else "`cnnspec export SPEC -o FILE.onnx` makes one"
            )
            raise UsageError(what, hint=hint)
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise CnnspecError(f"{path} is {size:,} bytes, and an ONNX file has at most {MAX_MODEL_BYTES:,}")
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def read_model_bytes(path: Path) -> bytes:
    """The bytes of a model file. Raises as `open_model`."""
    with open_model(path) as file:
        return file.read()


def parsed(data: bytes) -> Any:
    """The model that these bytes are. Raises CnnspecError where they are none, or one of too many nodes."""
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, and what the text in it can cause
        raise CnnspecError(f"it is no ONNX file: {error!s:.200}") from None
    if len(model.graph.node) > MAX_NODES:
        raise CnnspecError(f"it has {len(model.graph.node):,} nodes, and at most {MAX_NODES:,} are taken")
    return model


def bring_in(model: Any, folder: Path) -> None:
    """Take the tensors that lie in other files of its folder into a model. Raises CnnspecError for any other place."""
    total = 0
    for tensor in model.graph.initializer:
        if not (tensor.external_data or tensor.data_location):
            continue
        told = {entry.key: entry.value for entry in tensor.external_data}
        path = _beside(folder, told.get("location", ""))
        try:
            offset, length = int(told.get("offset") or 0), int(told.get("length") or path.stat().st_size)
            if min(offset, length) < 0 or offset + length > path.stat().st_size:
                raise CnnspecError(f"it wants {length:,} bytes from {offset:,} on of {path.name}, which has fewer")
            total += length
            if total > MAX_MODEL_BYTES:
                raise CnnspecError(f"its tensors have more than {MAX_MODEL_BYTES:,} bytes")
            with open(path, "rb") as file:
                file.seek(offset)
                tensor.raw_data = file.read(length)
        except (OSError, ValueError) as error:
            raise CnnspecError(f"its tensors in {path.name} cannot be read: {error!s:.100}") from None
        tensor.ClearField("external_data")
        tensor.ClearField("data_location")


def _beside(folder: Path, location: str) -> Path:
    """A file of the folder, which no way round leads out of."""
    path = folder / location
    try:
        real = path.resolve(strict=True)
        inside = real.parent.is_relative_to(folder.resolve()) and real.is_file()
    except (OSError, ValueError, RuntimeError):
        inside = False
    if not location or not inside or Path(location).is_absolute() or ".." in Path(location).parts:
        raise CnnspecError(f"it wants to read `{location:.80}` (external data), which is no file in its folder")
    return real


def check_parts(model: Any) -> None:
    """Raise CnnspecError for what is refused."""
    for part in _parts(model):
        _check_part(part)


def _parts(model: Any) -> Iterator[Any]:
    """Every message inside a message, however deep: a list of the places to look at would miss one."""
    waiting = [model]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)


def _check_part(part: Any) -> None:
    match part.DESCRIPTOR.full_name.removeprefix("onnx."):
        case "TensorProto" if part.external_data or part.data_location:
            raise CnnspecError(EXTERNAL)
        case "SparseTensorProto":
            raise CnnspecError("it has sparse tensors, which are not taken")
        case "FunctionProto":
            raise CnnspecError("it brings functions of its own, which are not taken")
        case "TrainingInfoProto":
            raise CnnspecError("it brings a training of its own, which is not taken")
        case "AttributeProto" if part.HasField("g") or part.graphs:
            raise CnnspecError("it has a control-flow operator, which is not taken")
        case "NodeProto" if part.domain not in DOMAINS:
            raise CnnspecError(f"it wants operators of `{part.domain:.80}`, which are not taken")
        case "NodeProto" if part.op_type == "EPContext":  # an engine of a device, in a file beside the model
            raise CnnspecError("it wants to read other files (`EPContext`), which is refused")
