"""An ONNX file as a model that is run: with onnxruntime, tensor by tensor."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from onnx import ModelProto, ValueInfoProto, numpy_helper

from cnnspec.foreign.laid_out import laid_out
from cnnspec.foreign.network import Network
from cnnspec.onnx_backend.guard import read_model_bytes
from cnnspec.onnx_backend.read import OnnxFile, opened, read_onnx
from cnnspec.ops import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.importing.model import Model

    Array = NDArray[Any]

__all__ = ["OnnxModel", "read_onnx_model"]

_AT_ONCE: Final = 2**26  # numbers of values that are kept in one run


@dataclass(frozen=True)
class OnnxModel:
    """A file that was read, and is run."""

    file: OnnxFile
    batch: int = 2

    @property
    def network(self) -> Network:
        """What it computes."""
        return self.file.network

    @property
    def cannot_run(self) -> str | None:
        """Why it cannot be compared with its source, if so."""
        return None if find_spec("onnxruntime") else "onnxruntime is not installed, and it alone runs the source"

    @property
    def macs(self) -> int | None:
        """Nobody but us counts those of a file."""
        return None

    def tensors(self) -> Mapping[str, Array]:
        """All that it keeps, by its own names."""
        return self.file.tensors()

    def outputs(self, tensors: Mapping[str, Array], batch: NDArray[np.float32]) -> Sequence[Array]:
        """What it gives at inference."""
        found = dict(self.values(tensors, batch, self.network.outputs))
        return [found[name] for name in self.network.outputs]

    def values(
        self, tensors: Mapping[str, Array], batch: NDArray[np.float32], wanted: Collection[str]
    ) -> Iterator[tuple[str, Array]]:
        """What each of the `wanted` calls gives at inference, in running order. Raises CnnspecError."""
        model = _with_tensors(self.file.model, tensors)
        for part in self._parts(wanted):
            stored = {name: self.file.made_by[name] for name in part}
            there = _run(model, self.file, batch, sorted({each.key for each in stored.values()}))
            yield from laid_out(stored, there).items()

    def _parts(self, wanted: Collection[str]) -> Iterator[list[str]]:
        """The calls in running order, some at a time."""
        part: list[str] = []
        numbers = 0
        for call in self.network.calls:
            if call.name in wanted and call.name in self.file.made_by:
                part.append(call.name)
                numbers += prod(call.shape or ())
                if numbers > _AT_ONCE:
                    yield part
                    part, numbers = [], 0
        if part:
            yield part


def _with_tensors(model: ModelProto, tensors: Mapping[str, Array]) -> ModelProto:
    """The model with these tensors in place of its own, and of the nodes that work them out.

    Tensors that nothing reads are left out: onnxruntime refuses some of them.
    """
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    nodes = [node for node in graph.node if not any(name in tensors for name in node.output)]
    read = {name for node in nodes for name in node.input} | {each.name for each in graph.output}
    kept = [tensor for tensor in graph.initializer if tensor.name not in tensors and tensor.name in read]
    own = {tensor.name for tensor in graph.initializer}
    inputs = [each for each in graph.input if each.name not in tensors and (each.name in read or each.name not in own)]
    for field, rest in ((graph.initializer, kept), (graph.node, nodes), (graph.input, inputs)):
        copies = [type(each).FromString(each.SerializeToString()) for each in rest]
        del field[:]
        field.extend(copies)
    given = ((name, array) for name, array in tensors.items() if name in read)
    graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in given)
    return changed


def _run(model: ModelProto, file: OnnxFile, batch: NDArray[np.float32], names: Sequence[str]) -> dict[str, Array]:
    """Tensors of the file for a batch, which is run in as many pieces as the file wants."""
    asked = ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:]
    asked.graph.output.extend(ValueInfoProto(name=name) for name in names)
    from cnnspec.runtime.session import open_session

    session = open_session(asked.SerializeToString(), file.shown, device="cpu", threads=1)
    given = batch.transpose(file.input_order) if file.input_order else batch
    if file.batch in (None, len(given)):
        return dict(zip(names, session.run(None, {file.input_name: np.ascontiguousarray(given)}), strict=True))
    rows = []
    for sample in given:
        copies = np.ascontiguousarray(np.broadcast_to(sample, (file.batch, *sample.shape)))
        rows.append([each[:1] for each in session.run(None, {file.input_name: copies})])
    return {name: np.concatenate([row[number] for row in rows]) for number, name in enumerate(names)}


def read_onnx_model(path: Path, input_shape: Shape | None) -> Model:
    """A file as a model. Raises UsageError where there is none, and CnnspecError for one that is refused."""
    data = read_model_bytes(path)
    model = opened(data, str(path), path.parent)
    return OnnxModel(read_onnx(model, path.stem, str(path), input_shape or ()))
