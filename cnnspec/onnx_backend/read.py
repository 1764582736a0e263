"""An ONNX file as a network of somebody else's. Nothing in it is run, and no file but its own is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.errors import CnnspecError
from cnnspec.foreign.network import Network, Stored
from cnnspec.onnx_backend.guard import bring_in, check_parts, parsed
from cnnspec.onnx_backend.read_graph import GraphReader
from cnnspec.onnx_backend.read_input import ANY_BATCH
from cnnspec.onnx_backend.read_tensors import array_of
from cnnspec.onnx_backend.read_values import Known
from cnnspec.ops import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OnnxFile", "opened", "read_onnx"]


@dataclass(frozen=True)
class OnnxFile:
    """A file that was read: what it computes, and where in it the values of its calls are."""

    network: Network
    model: Any  # onnx.ModelProto
    shown: str
    input_name: str
    batch: int | None  # that it was made for; None: any
    input_order: tuple[int, ...]  # of the axes of its input, the batch included
    made_by: Mapping[str, Stored]  # of each call, the tensor of the file, and how it lies here
    worked_out: Mapping[str, Known]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """All that it keeps, by its own names."""
        import numpy as np

        kept = {tensor.name: tensor for tensor in self.model.graph.initializer}
        found = {}
        for key in self.network.tensors:
            array = array_of(kept[key], self.shown) if key in kept else self.worked_out[key].array
            found[key] = np.array(array, np.float32, order="C")  # a copy, which may be written
        return found


def opened(data: bytes, shown: str, folder: Path | None = None) -> Any:
    """The model that a file has (`onnx.ModelProto`), with its tensors in other files of its `folder`.

    Raises CnnspecError for a file that is damaged or refused.
    """
    try:
        model = parsed(data)
        if folder is not None:
            bring_in(model, folder)
        check_parts(model)
    except CnnspecError as error:
        raise CnnspecError(f"{shown}: {error.message}", hint=error.hint) from None
    return model


def read_onnx(model: Any, name: str, shown: str, input_shape: Shape = ()) -> OnnxFile:
    """What an opened file computes. `input_shape`, `(C, ...)`, is needed where the file leaves it open.

    Raises CnnspecError for a file that is damaged or refused, and UsageError for an input that does not fit.
    """
    try:
        reader = GraphReader(model, name, shown, input_shape)
        network = reader.read()
    except CnnspecError:
        raise
    except Exception as error:  # names that are no text, and whatever else a damaged message has
        raise CnnspecError(f"{shown} is damaged: {type(error).__name__}: {error!s:.100}") from error
    given = reader.input
    batch = None if given.batch == ANY_BATCH else given.batch
    return OnnxFile(network, model, shown, given.name, batch, given.order, reader.made_by, reader.worked_out)
