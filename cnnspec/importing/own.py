"""Files that `cnnspec export` wrote: they carry their spec, so that it is read from there and nothing is made anew."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cnnspec.errors import CnnspecError, SpecError, needs_extra
from cnnspec.language import read_spec
from cnnspec.onnx_backend.guard import open_model, parsed
from cnnspec.onnx_backend.metadata import Metadata, check_seal, has_seal, read_metadata
from cnnspec.outline import refold

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OwnExport", "own_export"]


class Said(NamedTuple):
    """A text, the names in it of nodes that are called otherwise in the file, and what it is."""

    text: str
    names: Mapping[str, str]
    note: str


@dataclass(frozen=True)
class OwnExport:
    """An exported file that is as it was written."""

    path: Path
    data: bytes
    metadata: Metadata

    @cached_property
    def said(self) -> Said:
        """Its spec as a text that comes to its network by itself: its own, or where a variant or parameters were chosen
        that of what they came to."""
        network = self.metadata.network()
        text = self.metadata.spec
        if self.metadata.spec_kind == "yaml":
            with suppress(SpecError):
                if read_spec("spec.yaml", text.encode()).elaborate().nodes == network.graph.nodes:
                    return Said(text, {}, "the spec that the file carries")
        folded = refold(network.graph)
        note = "what the spec that the file carries came to with its variant, parameters and input"
        return Said(folded.text, folded.names, note)

    @needs_extra("onnx")
    def tensors(self) -> dict[str, NDArray[Any]]:
        """The weights in the file by the spec's names. Raises CnnspecError for one that was quantised."""
        from cnnspec.onnx_backend.recover import recover_weights

        if self.metadata.precision == "int8":
            raise CnnspecError(f"{self.path} has its weights rounded to bytes", hint="import the file it was made from")
        graph = self.metadata.network().graph.network("inference")
        found = recover_weights(parsed(self.data), graph, folded=self.metadata.folded)
        names = self.said.names
        return {
            f"{names.get(node.name, node.name)}{key.removeprefix(node.name)}": found[key]
            for node in graph
            for key in map(node.tensor_name, node.tensors)
            if key in found
        }


@needs_extra("onnx")
def own_export(path: Path) -> OwnExport | None:
    """The file, if cnnspec wrote it. Raises CnnspecError where it is damaged, and UsageError where there is none."""
    if path.suffix.lower() != ".onnx":
        return None
    with open_model(path) as file:
        if not has_seal(file):
            return None
        file.seek(0)
        data = file.read()
    check_seal(data, str(path))
    try:
        model = parsed(data)
    except CnnspecError as error:
        raise CnnspecError(f"{path}: {error.message}") from None
    return OwnExport(path, data, read_metadata({prop.key: prop.value for prop in model.metadata_props}, str(path)))
