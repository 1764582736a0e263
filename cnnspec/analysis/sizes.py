"""Which inputs a network takes, and what size they give: the smallest, those that lose no pixel, those that give 7x7.

Sizes are about what elaborates. A dense layer behind a Flatten takes its width from the input, so that the declaration
is valid at many sizes; weights that were trained at one of them fit only inputs that flatten alike, which is said.

One size is worked out on a `Skeleton` of the graph. Where the layers themselves depend on the size, the spec is
elaborated anew for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from cnnspec.analysis.axis_sizes import TRIED, WIDEST, AxisSizes, Line
from cnnspec.analysis.explain import find_node
from cnnspec.analysis.field_state import TensorField
from cnnspec.analysis.receptive_field import fields
from cnnspec.analysis.skeleton import Seen, Skeleton
from cnnspec.errors import CnnspecError, ShapeError, SpecError, UsageError
from cnnspec.graph import INPUT, MAX_NODES, Graph, Node, Purpose
from cnnspec.language import Source
from cnnspec.language.document import Body, Call, Item
from cnnspec.ops import AXES, Shape, show_shape
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool
from cnnspec.ops.resample import Upsample

__all__ = ["Sizes", "sizes"]

SLOW_TRIES: Final = 40  # sizes tried where each needs a new elaboration
# Layers, over all sizes that are tried: some seconds, and six times what any bundled network wants.
MOST_WORK: Final = 2**19
ANEW: Final = 8  # so many is one that is elaborated


@dataclass(frozen=True, slots=True)
class Sizes:
    """The input sizes of a network. `layer` is the one whose size is meant by the output."""

    purpose: Purpose
    name: str
    input: Shape
    valid: bool  # whether the declared input is
    layer: str  # `input` where there is no feature map
    smallest: Shape  # on each spatial axis, and valid together
    other_smallest: Shape | None  # that of the other purpose; None where training refuses every input that was tried
    axes: tuple[AxisSizes, ...]
    tied: tuple[str, ...]  # layers whose weights depend on the input size
    output: tuple[int, ...] | None  # what was wanted, per axis
    alike: bool  # all axes have the same answers

    def __repr__(self) -> str:
        return f"<Sizes of {self.name}: from {show_shape(self.smallest) or 'any'} on>"

    def to_dict(self) -> dict[str, Any]:
        """The sizes as `--format json` prints them."""

        def smallest(shape: Shape) -> dict[str, list[int]]:
            return {"smallest_input": list(shape), "smallest_input_shape": [self.input[0], *shape]}

        other = "train" if self.purpose == "inference" else "inference"
        return {
            "cnnspec": 1,
            "for": self.purpose,
            "name": self.name,
            "input": list(self.input),
            "input_valid": self.valid,
            "layer": self.layer,
            **smallest(self.smallest),
            other: None if self.other_smallest is None else smallest(self.other_smallest),
            "output": None if self.output is None else list(self.output),
            "weights_tied_to_input": list(self.tied),
            "axes": [axis.to_dict() for axis in self.axes],
        }


def sizes(
    source: Source,
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
    layer: str | None = None,
    output: tuple[int, ...] | None = None,
    span: tuple[int, int] | None = None,
    purpose: Purpose = "inference",
    most_work: int = MOST_WORK,
) -> Sizes:
    """The input sizes of the network that a spec has for a purpose, also of one whose declared input is too small.

    `layer` is whose size counts as the output (by default the last feature map before global pools and dense layers);
    `output` is a wanted size of it, one number or one per axis; `span` the smallest and largest input to list. Where
    only training has `layer`, so are the sizes.
    Raises CnnspecError where they are more than `most_work`, SpecError where the spec is invalid for other reasons than
    its input's size, and UsageError.
    """

    def elaborate(shape: Shape | None, purpose: Purpose) -> Graph:
        return source.elaborate(variant=variant, params=params, input_shape=shape, max_nodes=max_nodes, purpose=purpose)

    if span is not None:
        most_work *= 1 + (span[1] - span[0]) // WIDEST
    whole, declared, valid = _valid_somewhere(source, partial(elaborate, purpose=purpose), input_shape, variant, params)
    if layer is not None and layer in whole.by_name.keys() - whole.network("inference").by_name.keys():
        purpose = "train"
    graph = whole.network(purpose)
    base = graph.input_shape
    if len(base) < 2:
        raise UsageError(
            f"{graph.name} reads {base[0]} features: its input has no axis of which a size could be chosen"
        )
    measured, carriers = _measured(graph, layer)
    if measured == INPUT and output is not None:
        raise UsageError(f"{graph.name} has no feature map: no layer's output has a size that could be wanted")
    slow = re.search(r"\bin_features\b(?!\s*[=:])", source.text) is not None  # then the layers may depend on the size

    def tries(graph: Graph, layer: str, purpose: Purpose) -> _Tries:
        def anew(shape: Shape) -> Graph:
            return elaborate(shape, purpose).network(purpose)

        skeleton = Skeleton(graph, layer)
        tries = most_work // (ANEW * len(graph) if slow else 1 + len(skeleton.steps))
        return _Tries(skeleton, anew if slow else None, layer, tries)

    tried = tries(graph, measured, purpose)
    skeleton = tried.skeleton
    rank = len(base) - 1
    wanted = _per_axis(output, rank)
    alike = rank > 1 and not slow and len({base[1:], declared[1:]}) == 1 and skeleton.alike(base)
    alike = alike and len(set(carriers)) == rank and len(set(wanted or (0,))) == 1
    answers: list[AxisSizes] = []
    for index, axis in enumerate(AXES[rank]):
        if alike and answers:
            answers.append(replace(answers[0], axis=axis))
            continue
        line = Line(tried, base, index, carriers[index], WIDEST if not slow else SLOW_TRIES)
        answers.append(line.answers(axis, declared[index + 1], valid, span, wanted))
    alike = rank > 1 and all(replace(axis, axis="") == replace(answers[0], axis="") for axis in answers)
    tied = {number for seen in tried.memo.values() if seen for number in seen.differing}
    names = tuple(name for number, name in enumerate(skeleton.tied) if number in tied)
    smallest = _together(tried, base, tuple(axis.smallest for axis in answers))
    other: Shape | None = smallest
    if whole.refused or len(whole.network("inference")) < len(whole):
        opposite: Purpose = "inference" if purpose == "train" else "train"
        other = None
        with suppress(SpecError):
            whole, _, _ = _valid_somewhere(source, partial(elaborate, purpose=opposite), input_shape, variant, params)
            other = _smallest(tries(whole.network(opposite), INPUT, opposite), whole.input_shape)
    return Sizes(purpose, graph.name, declared, valid, measured, smallest, other, tuple(answers), names, wanted, alike)


class _Tries:
    """What each input shape gives, None where it is refused; each worked out once."""

    def __init__(self, skeleton: Skeleton, anew: Callable[[Shape], Graph] | None, layer: str, most: int) -> None:
        self.skeleton, self.anew, self.layer, self.most = skeleton, anew, layer, most
        self.memo: dict[Shape, Seen | None] = {}

    def __call__(self, shape: Shape) -> Seen | None:
        if shape not in self.memo:
            if len(self.memo) >= self.most:
                raise CnnspecError(
                    "its layers are too many, or depend too much on the input, for thousands of sizes to be tried",
                    hint="`inspect --input` tells of one",
                )
            try:
                skeleton = self.skeleton if self.anew is None else Skeleton(self.anew(shape), self.layer)
                self.memo[shape] = skeleton.at(shape, self.skeleton.widths)
            except (ShapeError, SpecError):
                self.memo[shape] = None
        return self.memo[shape]


def _valid_somewhere(
    source: Source,
    elaborate: Callable[[Shape | None], Graph],
    input_shape: Shape | None,
    variant: str | None,
    params: Mapping[str, Any] | None,
) -> tuple[Graph, Shape, bool]:
    """The graph at the declared input or, where that is refused, at one some times as large; and the declared one."""
    try:
        graph = elaborate(input_shape)
        return graph, graph.input_shape, True
    except SpecError as error:
        if any(not diagnostic.code.startswith("E2") for diagnostic in error.diagnostics):
            raise
        declared = input_shape or _bare(source).elaborate(variant=variant, params=params).input_shape
        larger = declared
        while len(declared) > 1 and max(larger[1:]) < 2**12:
            larger = (larger[0], *(2 * size for size in larger[1:]))
            try:
                return elaborate(larger), declared, False
            except SpecError:
                continue
        raise


def _bare(source: Source) -> Source:
    """The same spec with one layer that does nothing: it elaborates where only layers were at fault."""
    document = source.document
    place = document.main.place
    body = Body("layers", (Item(None, place, call=Call("Identity", place)),), place, False)
    header = document.header._replace(outputs=(), aux_outputs=(), classes=())
    return replace(
        source, document=replace(document, header=header, main=document.main._replace(body=body), mean=(), std=())
    )


def _measured(graph: Graph, layer: str | None) -> tuple[str, tuple[int, ...]]:
    """The layer whose size is the output, and which of its axes each axis of the input is."""
    states = fields(graph)
    if layer is not None:
        state = states[find_node(graph, layer).name]
        carriers = state.carriers
        if any(state.lost) or any(carrier >= len(graph.shape_of(layer)) for carrier in carriers):
            raise UsageError(f"`{layer}` has no axes left that are sizes", hint="name a layer before Flatten")
        return layer, carriers
    live = graph.ancestors(graph.outputs)
    local = {INPUT}
    last = INPUT
    for node in graph.nodes:
        if node.name in live and _is_map(node, states[node.name]) and local.intersection(node.inputs):
            local.add(node.name)
            last = node.name
    return last, tuple(range(1, len(graph.input_shape)))


def _is_map(node: Node, state: TensorField) -> bool:
    """Whether the node's axes are those of the input, and their sizes follow from it."""
    in_place = state.carriers == tuple(range(1, len(state.carriers) + 1)) and len(node.shape) == len(state.carriers) + 1
    fixed = isinstance(node.op, (AdaptiveAvgPool, AdaptiveMaxPool)) or (
        isinstance(node.op, Upsample) and node.op.size is not None
    )
    return in_place and not fixed and not state.through_global


def _per_axis(output: tuple[int, ...] | None, rank: int) -> tuple[int, ...] | None:
    if output is None or len(output) == rank:
        return output
    if len(output) == 1:
        return output * rank
    raise UsageError(f"the output has {rank} axes, and {len(output)} sizes are wanted", hint="one number, or one each")


def _together(tried: Callable[[Shape], Seen | None], base: Shape, smallest: Shape) -> Shape:
    """The smallest sizes of the axes, grown alike until they are valid with each other."""
    for extra in range(min(TRIED, max(base[1:]))):
        grown = tuple(min(size + extra, limit) for size, limit in zip(smallest, base[1:], strict=True))
        if tried((base[0], *grown)) is not None:
            return grown
    return base[1:]


def _smallest(tried: Callable[[Shape], Seen | None], base: Shape) -> Shape:
    """The smallest input on each spatial axis, as far as they are valid together."""
    lines = [Line(tried, base, axis, 0, WIDEST) for axis in range(len(base) - 1)]
    return _together(tried, base, tuple(line.smallest(base[line.axis + 1]) for line in lines))
