"""Fields without clipping, by enumerating the paths from the input to a layer: whole numbers on an axis without ends.

A path is a chain of layers; what unit `i` reads along it is composed tap by tap, with units in the padding of any layer
followed as if the maps went on. Each path knows the channels that it comes out in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import product
from math import lcm, prod

import numpy as np
from index_sets import Array, Layout, Seen, cut_axes, sees_all, transform
from taps import SAME, Taps, taps, whole_axes

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops.resample import PixelShuffle

__all__ = ["Path", "Truth", "alignment", "paths", "truth"]

ORIGIN = 1 << 13  # the bit that stands for pixel 0
MOST_PATHS = 64
LONGEST_PERIOD = 400


@dataclass(eq=False)
class Path:
    """One path: per axis of the input what it reads, and the channels in which it arrives."""

    parent: Path | None
    steps: tuple[Taps, ...]  # one for each axis of the network's input
    alive: Array  # bool, over the units of the node
    chain: tuple[str, ...] = ()  # the layers that it leads through, and which of their reads it takes
    everything: bool = False
    phased: bool = False  # pixel shuffle gave it some rows and columns only, which the smallest field does not ask for
    known: dict[tuple[int, int], int] = field(default_factory=dict)

    def reads(self, axis: int, i: int) -> int:
        """The pixels that unit `i` reads along an axis, as bits from ORIGIN on."""
        if self.parent is None:
            return 1 << (i + ORIGIN)
        key = axis, i
        if key not in self.known:
            found = 0
            for tap in self.steps[axis].reads(i):
                found |= self.parent.reads(axis, tap)
            self.known[key] = found
        return self.known[key]

    def taps(self, axis: int) -> Iterator[Taps]:
        """The taps of the layers along it, the first layer first."""
        if self.parent is not None:
            yield from self.parent.taps(axis)
            yield self.steps[axis]

    def stride(self, axis: int) -> Fraction:
        """Pixels per unit; 0 where all units read the same."""
        return prod((step.stride for step in self.taps(axis)), start=Fraction(1))

    def period(self, axis: int) -> int:
        """Units after which what it reads repeats (not always the fewest)."""
        return prod(step.period for step in self.taps(axis))


def hull(bits: int) -> tuple[int, int]:
    """First and last pixel."""
    return (bits & -bits).bit_length() - 1 - ORIGIN, bits.bit_length() - 1 - ORIGIN


def size(bits: int) -> int:
    """Pixels from the first to the last."""
    return bits.bit_length() - (bits & -bits).bit_length() + 1 if bits else 0


def paths(graph: Graph, seen: dict[str, Seen]) -> dict[str, list[Path] | None]:
    """The paths to every node; None where there are too many."""
    found: dict[str, list[Path] | None] = {INPUT: [Path(None, (), np.ones(graph.input_shape, bool))]}
    for node in graph:
        found[node.name] = _to(node, [found[name] for name in node.inputs], [seen[name] for name in node.inputs])
    return found


def _to(node: Node, before: list[list[Path] | None], seen: list[Seen]) -> list[Path] | None:
    after: list[Path] = []
    for read, (branch, state) in enumerate(zip(before, seen, strict=True)):
        if branch is None:
            return None
        steps = tuple(_step(node, read, state.layout, axis) for axis in range(len(state.layout.place)))
        apart = isinstance(node.op, PixelShuffle) and not all(path.alive.all() for path in branch)
        for path in branch:
            masks = [path.alive if k == read else np.zeros(shape, bool) for k, shape in enumerate(node.input_shapes)]
            link = Path(path, steps, path.alive, (*path.chain, f"{node.name}:{read}"))
            link.phased = path.phased or apart
            link.everything = path.everything or sees_all(node, state.layout)
            if apart:
                after += _shuffled(node, link, state.layout)
                continue
            link.alive = transform(node, masks, np.logical_or, clamp=True)
            if link.alive.any():
                after.append(link)
    if len(after) > MOST_PATHS:
        return None
    local = [path.alive for path in after if not path.everything]
    taken = np.logical_or.reduce(local) if local else np.zeros(node.shape, bool)
    for path in after:
        if path.everything:
            path.alive = path.alive & ~taken  # beside local paths it is context
    return [path for path in after if path.alive.any()]


def _step(node: Node, read: int, layout: Layout, axis: int) -> Taps:
    place = layout.place[axis]
    if place is None:
        return SAME
    if type(node.op).__name__ in ("Reshape", "Unflatten"):
        if cut_axes(node.input_shapes[0], node.shape).get(place, place) is None:
            return Taps(lambda i: range(layout.units[axis]), 1, 0)
        return SAME
    if axis in layout.lost:  # as a part of the flat axis
        return Taps(lambda i: range(layout.units[axis]), 1, 0) if place in whole_axes(node) else SAME
    return taps(node, place, read)


def _shuffled(node: Node, link: Path, layout: Layout) -> Iterator[Path]:
    """Pixel shuffle, channel by channel: what was channel `c` comes out in every r-th row and column."""
    assert isinstance(node.op, PixelShuffle)
    factor = node.op.upscale_factor
    for row, column in product(range(factor), repeat=2):
        channels = link.alive[row * factor + column :: factor**2].any(axis=(1, 2))
        if channels.any():
            phase = {1: row, 2: column}
            steps = (_every(factor, phase[place]) if place in phase else SAME for place in layout.place)
            alive = np.broadcast_to(channels[:, None, None], node.shape)
            yield replace(link, steps=tuple(steps), alive=alive, known={})


def _every(factor: int, phase: int) -> Taps:
    return Taps(lambda i: (i // factor,) if i % factor == phase else (), factor, 1)


@dataclass(frozen=True)
class Truth:
    """The figures of one layer, along each axis of the input; None where they are not defined."""

    field: tuple[int | None, ...]
    least: tuple[int | None, ...]
    pixels: tuple[int | None, ...]
    padding: tuple[int | None, ...]
    strides: tuple[Fraction | None, ...]


def truth(found: list[Path], layout: Layout) -> Truth:
    """The figures of a layer from its local paths, for the units that it has."""
    found = [path for path in found if not path.everything] or found  # channels that see everything stand beside
    columns = np.unique(np.stack([path.alive.reshape(-1) for path in found]), axis=1).T  # who arrives together
    classes = [[path for path, there in zip(found, column, strict=True) if there] for column in columns.tolist()]
    classes = [together for together in classes if together]
    chains: dict[tuple[str, ...], list[Path]] = {}
    for path in found:
        chains.setdefault(path.chain, []).append(path)
    axes = range(len(layout.place))
    strides = [{path.stride(axis) for path in found} for axis in axes]
    sure = [not any(_unsure(path, axis) for path in found) for axis in axes]
    union = [_unions(together, layout.units) for together in classes]
    by_chain = [_unions(together, layout.units) for together in chains.values()]
    by_chain = [each for each in by_chain if all(map(any, each))] or by_chain  # on one axis none: it reads nothing
    firsts = [{_before(_at(together, axis, 0)) for together in classes} for axis in axes]
    if not all(path.reads(axis, 0) for path in found for axis in axes):
        firsts = [set() for _ in axes]  # the first unit is not on all paths

    if any(not any(each) for together in union for each in together):
        sure = [False for _ in axes]  # no unit reads anything

    def figure(values: list[int]) -> tuple[int | None, ...]:
        return tuple(value if certain else None for value, certain in zip(values, sure, strict=True))

    least = figure([min(max(map(size, each[axis])) for each in by_chain) for axis in axes])
    return Truth(
        field=figure([max(size(bits) for each in union for bits in each[axis]) for axis in axes]),
        least=(None,) * len(axes) if any(path.phased for path in found) else least,
        pixels=figure([max(bits.bit_count() for each in union for bits in each[axis]) for axis in axes]),
        padding=tuple(min(each) if len(each) == 1 and ok else None for each, ok in zip(firsts, sure, strict=True)),
        strides=tuple((min(each) or None) if len(each) == 1 else None for each in strides),
    )


def _at(together: list[Path], axis: int, i: int) -> int:
    bits = 0
    for path in together:
        bits |= path.reads(axis, i)
    return bits


def _before(bits: int) -> int:
    return -hull(bits)[0] if bits else 0


def _unions(together: list[Path], units: tuple[int, ...]) -> list[list[int]]:
    """For each axis what units read, as bits. Where paths leave units out, every unit of the map is looked at."""
    each = [[[path.reads(axis, i) for i in range(count)] for axis, count in enumerate(units)] for path in together]
    if len(together) == 1 or all(bits for path in each for axis in path for bits in axis):
        return [[_at(together, axis, i) for i in range(count)] for axis, count in enumerate(units)]
    found: list[list[int]] = [[] for _ in units]
    for unit in product(*map(range, units)):
        bits = [0] * len(units)
        for path in each:
            own = [path[axis][i] for axis, i in enumerate(unit)]
            if all(own):
                bits = [have | new for have, new in zip(bits, own, strict=True)]
        for axis, value in enumerate(bits):
            found[axis].append(value)
    return found


def _unsure(path: Path, axis: int) -> bool:
    """Whether a window slides over an axis that was read whole: what lies beyond its end is not defined."""
    whole = False
    for step in path.taps(axis):
        if step.advance == 0 and len(step.reads(0)) > 1:
            whole = True
        elif whole and step.advance and not (step.stride == step.period == 1 and list(step.reads(0)) == [0]):
            return True
    return False


def alignment(graph: Graph, found: dict[str, list[Path] | None], seen: dict[str, Seen]) -> dict[str, bool | None]:
    """For each node, whether at every join before it the local branches have one stride and one mean centre.

    None where that is open: too many paths, a join of one unit, or a misaligned channel that was dropped again.
    """
    verdicts: dict[str, bool | None] = {INPUT: True}
    for node in graph:
        arrived = found[node.name]
        if arrived is None or seen[node.name].layout.odd:
            verdicts[node.name] = None
            continue
        arrived = [path for path in arrived if not path.everything] or arrived  # as in `truth`
        branches: dict[str, list[Path]] = {}
        for path in arrived:
            branches.setdefault(path.chain[-1], []).append(path)
        reads = [int(branch.rpartition(":")[2]) for branch in branches]
        layout = seen[node.name].layout
        asked = [verdicts[node.inputs[read]] for read in reads]
        if len(branches) > 1:
            asked += [_aligned(list(branches.values()), axis, units) for axis, units in enumerate(layout.units)]
        verdict = False if False in asked else None if None in asked else True
        single = len({path.chain for path in arrived}) == 1
        around = [path for name in node.inputs for path in found[name] or ()]
        apart = len(node.inputs) == 1 and not all(path.alive.all() for path in around)  # channels look elsewhere
        verdicts[node.name] = None if apart or (single and not verdict) else verdict
    return verdicts


def _aligned(branches: list[list[Path]], axis: int, units: int) -> bool | None:
    moving = [[path for path in branch if path.stride(axis) != 0] for branch in branches]
    moving = [branch for branch in moving if branch]  # of the others all units read the same
    strides = {path.stride(axis) for branch in moving for path in branch}
    if len(strides) > 1:
        return False if units > 1 and len(moving) > 1 else None
    if len(moving) < 2:
        return True
    centres = {_centre(branch, axis) for branch in moving}
    return None if None in centres else len(centres) == 1


def _centre(branch: list[Path], axis: int) -> Fraction | None:
    """The mean over one period of the middle of what a unit reads, less what the stride puts there."""
    period, stride = lcm(*(path.period(axis) for path in branch)), branch[0].stride(axis)
    if period > LONGEST_PERIOD:
        return None
    reads = [_at(branch, axis, i) for i in range(period)]
    if not all(reads):
        return None  # a unit that reads nothing has no centre
    return sum((Fraction(sum(hull(bits)), 2) - stride * i for i, bits in enumerate(reads)), Fraction(0)) / period
