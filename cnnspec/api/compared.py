"""A network's source, compared with what we build ourselves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.errors import MissingExtraError, VerificationError, needs_extra
from cnnspec.graph import Graph
from cnnspec.language import Network

if TYPE_CHECKING:
    from cnnspec.codegen import Written

__all__ = ["Code", "compared_code"]


@dataclass(frozen=True, repr=False)
class Code:
    """A network as source: its text, the name of its class, and what was compared with cnnspec's own build.

    Without checks it was not compared: torch is not installed, or that was not wanted. `path` is where it was written.
    """

    network: str
    text: str
    class_name: str
    checks: tuple[str, ...] = ()
    path: Path | None = None

    def __repr__(self) -> str:
        lines = self.text.count("\n")
        proved = "equal to our own build" if self.checks else "not compared"
        return f"<Code of {self.network}: class {self.class_name}, {lines} lines, {proved}>"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without the text where that is in a file."""
        kept = {"path": str(self.path)} if self.path is not None else {"text": self.text}
        return {"network": self.network, "class": self.class_name, **kept, "checks": list(self.checks)}


def compared_code(network: Network, verify: bool) -> Code:
    """The source of a network; with `verify`, and where torch is installed, run and held to our own build.

    Raises VerificationError where they differ.
    """
    from cnnspec.codegen import write_code

    candidates = write_code(network)
    graph = network.graph.network("train")
    written, checks = _compared(candidates, graph) if verify else (next(candidates), [])
    return Code(network.name, written.text, written.name, tuple(checks))


def _compared(candidates: Iterator[Written], graph: Graph) -> tuple[Written, list[str]]:
    """The first source that is the network, and what was found equal; not compared without torch."""
    first: VerificationError | None = None
    for written in candidates:
        try:
            with needs_extra("train"):
                from cnnspec.torch_backend.same_code import check_code
        except MissingExtraError:
            return written, []
        try:
            return written, check_code(written, graph)
        except VerificationError as error:
            first = first or error
    assert first is not None
    raise first
