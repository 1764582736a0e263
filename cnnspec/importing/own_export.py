"""A file that cnnspec exported: its spec is in it, and its weights go back under their own names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.checks import Check, unchecked
from cnnspec.errors import CnnspecError, UsageError, VerificationError
from cnnspec.foreign import Lifted, Network, Stored
from cnnspec.graph import Graph
from cnnspec.importing.pipeline import Imported, Member
from cnnspec.importing.proof import TOLERANCE, difference
from cnnspec.language import read_spec
from cnnspec.onnx_backend.metadata import Metadata, check_seal, read_metadata
from cnnspec.onnx_backend.recover import recover_weights
from cnnspec.ops import Shape, show_shape
from cnnspec.outline import refold

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

__all__ = ["OwnExport"]


@dataclass(frozen=True)
class OwnExport:
    """An own file that was read: its digest is the one that was written."""

    data: bytes
    model: Any  # onnx.ModelProto
    shown: str
    facts: Metadata
    graph: Graph
    batch: int = 2

    @classmethod
    def read(cls, data: bytes, model: Any, path: Path, input_shape: Shape | None) -> OwnExport:
        """Raises CnnspecError for a file that is not as it was written, and UsageError for another input than its."""
        check_seal(data, str(path))
        facts = read_metadata({entry.key: entry.value for entry in model.metadata_props}, str(path))
        if input_shape and input_shape != facts.input_shape and not facts.dynamic_size:
            raise UsageError(f"{path} reads {show_shape(facts.input_shape)}, not {show_shape(input_shape)}")
        network = facts.network()
        if input_shape and input_shape != facts.input_shape:
            network = network.at_size(input_shape)
        return cls(data, model, str(path), facts, replace(network.graph, path=None))

    @property
    def network(self) -> Network:
        """Its tensors; what it computes is said by its spec."""
        return Network(
            self.facts.name, self.graph.input_shape, (), self.graph.outputs, tensors=self.graph.state_shapes()
        )

    @property
    def cannot_run(self) -> str | None:
        """Why it cannot be compared with its source, if so."""
        return None if find_spec("onnxruntime") else "onnxruntime is not installed, and it alone runs the source"

    @property
    def macs(self) -> int:
        """As its spec has them."""
        return self.graph.macs

    def tensors(self) -> Mapping[str, Array]:
        """The weights by the names of its spec. Raises CnnspecError where they were changed beyond that."""
        if self.facts.precision != "fp32":
            raise CnnspecError(
                f"the weights of {self.shown} are in {self.facts.precision}: they are not those that it was made of",
                hint="an export in fp32 has them",
            )
        found = recover_weights(self.model, self.graph, folded=self.facts.folded)
        counter: Array = np.zeros((), np.int64)
        return {key: found[key].copy() if key in found else counter.copy() for key in self.graph.state_shapes()}

    def outputs(self, tensors: Mapping[str, Array], batch: NDArray[np.float32]) -> Sequence[Array]:
        """What the file gives, with its own weights."""
        from cnnspec.runtime.session import open_session

        session = open_session(self.data, self.shown, device="cpu", threads=1)
        (given,) = session.get_inputs()
        size = self.facts.batch or len(batch)
        rows = [
            session.run(None, {given.name: np.ascontiguousarray(np.resize(part, (size, *part.shape[1:])))})
            for part in np.split(batch, range(size, len(batch), size))
        ]
        return [np.concatenate(parts)[: len(batch)] for parts in zip(*rows, strict=True)]

    def values(
        self, tensors: Mapping[str, Array], batch: NDArray[np.float32], wanted: Collection[str]
    ) -> Iterator[tuple[str, Array]]:
        """Nothing: its layers are those of its spec."""
        return iter(())

    def imported(self, source: str) -> Imported:
        """Its own text; where a variant or parameters were chosen, that of the network that they gave."""
        text, names = self.facts.spec, {node.name: node.name for node in self.graph}
        notes = ["it was exported by cnnspec, and this is the spec that it carries"]
        if self.facts.spec_kind != "yaml" or not self._is_said_by(text):
            folded = refold(self.graph)
            text, names = folded.text, dict(folded.names)
            notes = ["it was exported by cnnspec: this is the network that its spec, variant and parameters came to"]
        if self.facts.folded:
            notes.append("its batch norms were folded when it was exported: they add a shift, and scale no more")
        weights = {key: Stored(key) for key in self.graph.state_shapes()}
        lifted = Lifted(self.graph, weights, {}, {})
        return OwnImported(source, text, (Member(self.facts.name, self, lifted, names),), tuple(notes))

    def _is_said_by(self, text: str) -> bool:
        return read_spec("spec.yaml", text.encode()).elaborate().network("inference").nodes == self.graph.nodes


class OwnImported(Imported):
    """What came out of an own file, which has its own proof: the digest, and what the file gives."""

    def proved(self) -> Imported:
        """The same with its checks. Raises VerificationError where one fails."""
        (member,) = self.members
        own = member.model
        assert isinstance(own, OwnExport)
        checks = [
            Check("digest", True, "the file is as it was written"),
            _outputs(own, self.graph(member).network("inference"), member.tensors()),
        ]
        if failed := [check for check in checks if not check.passed]:
            raise VerificationError(f"{self.source} is not what its spec says: {failed[0].name}: {failed[0].detail}")
        return replace(self, checks=tuple(checks))


def _outputs(own: OwnExport, graph: Graph, tensors: Mapping[str, Array]) -> Check:
    from cnnspec.torch_backend.parts import Parts

    if own.facts.bytes_last or own.facts.output_kind != "scores":
        return unchecked("outputs", "the file prepares images or gives probabilities, which a spec does not say")
    batch = np.random.default_rng(0).standard_normal((own.batch, *graph.input_shape), np.float32)
    pairs = zip(Parts(graph, tensors).outputs(batch), own.outputs(tensors, batch), strict=True)
    worst = max(difference(one, other) for one, other in pairs)
    return Check("outputs", worst <= TOLERANCE, f"largest difference {worst:.1e} of the largest magnitude", worst)
