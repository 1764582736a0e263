"""The ways out for layers that do not take the shapes they read: in words, and as changes of the text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from cnnspec.errors import ShapeError
from cnnspec.graph import INPUT, Node
from cnnspec.hints import channels_first
from cnnspec.language.document import Document, Item
from cnnspec.language.projection import Projection, projection
from cnnspec.language.values import Ref
from cnnspec.ops import AbstractSpatialOp, Add, AnyOp, Shape, Sub
from cnnspec.places import Edit, Fix, LayerBefore

__all__ = ["WayOut", "WaysOut"]


class WayOut(NamedTuple):
    """What helps, in words, and as a change of the text where that is known."""

    help: str | None = None
    fix: Fix | LayerBefore | None = None
    resizable: bool = False  # another input size may help, and the words say how to find one


class WaysOut:
    """Knows the text of one document."""

    def __init__(self, document: Document, path: str) -> None:
        self.declared = document.input_shape
        self.path = path

    def of(
        self,
        error: ShapeError,
        op: AnyOp,
        reads: Sequence[Ref],
        nodes: Sequence[Node],
        given: Shape,
        item: Item | None,
    ) -> WayOut:
        """The way out for an operator that does not take the shapes it reads.

        `nodes` are those before it, `given` is the network's input, and `item` what was written.
        """
        meant = channels_first(given) if given else None
        if (
            error.code == "E202"
            and reads[0].name == INPUT
            and isinstance(op, AbstractSpatialOp)
            and op.rank == len(given)
        ):
            meant = (1, *given)
        if meant:
            return WayOut(f"channels come first: write `input: {list(meant)}`", self.written(meant))
        if error.code == "E201":
            return WayOut(f"`cnnspec sizes {self.path}` tells the input sizes that fit", None, True)
        if isinstance(op, (Add, Sub)):
            order = {node.name: number for number, node in enumerate(nodes)}
            early = sorted(reads, key=lambda ref: order.get(ref.name, -1))
            found = projection([(ref.name, ref.shape or ()) for ref in early])
            return WayOut() if found is None else WayOut(found.hint, _projected(found, reads, item))
        return WayOut(None, _other_arguments(error, item))

    def written(self, meant: Shape) -> Fix | None:
        """Another shape in place of the one that the spec declares, where that is a list of numbers."""
        declared = self.declared
        if declared is None or not isinstance(declared.value, list):
            return None
        shape = str(list(meant))
        return Fix(f"write `{shape}`", (Edit(declared.place.span, shape),))


def _projected(found: Projection, reads: Sequence[Ref], item: Item | None) -> LayerBefore | None:
    """The projection as a layer of its own, where the sum names what it reads."""
    if item is None or item.reads is None:
        return None
    index = next(index for index, ref in enumerate(reads) if ref.name == found.read)
    name = item.reads[index][0]
    return LayerBefore(found.call, f"{name}_projection" if name != INPUT else "projection", item.reads[index])


def _other_arguments(error: ShapeError, item: Item | None) -> Fix | None:
    """The arguments that an operator would take, in place of those that are written."""
    call = item.call if item is not None else None
    edits = [
        (name, Edit(argument.expr.place.span, text))
        for argument in (call.args if call is not None else ())
        for name, text in error.instead.items()
        if argument.name == name
    ]
    if not edits or len(edits) < len(error.instead):
        return None
    title = ", ".join(f"{name}={edit.text}" for name, edit in edits)
    return Fix(f"write `{title}`", tuple(edit for _, edit in edits))
