"""What the units of one tensor see: for all channels that see alike, on each axis of the input.

Channels of one tensor may see different things, after a concatenation and until something mixes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, product
from typing import Final, NamedTuple

from cnnspec.analysis.band_figures import centre, span
from cnnspec.analysis.bands import Band, Bands, distinct, smallest, union
from cnnspec.analysis.field_work import Work
from cnnspec.errors import Diagnostic, SpecError
from cnnspec.graph import Graph, Node
from cnnspec.ops import Shape
from cnnspec.ops.window import POINT, Global, Shuffled, Sliding, Window

__all__ = [
    "ALL",
    "MOST_CHANNELS",
    "FieldState",
    "Part",
    "TensorField",
    "joint_terms",
    "regrouped",
    "too_irregular",
    "united",
]

ALL: Final = -1  # as bits: however many there are
MOST_TERMS: Final = 64  # beyond so many, axes are taken to be independent
MOST_CHANNELS: Final = 2**16  # beyond so many it is not followed which of them see what


class FieldState(NamedTuple):
    """What the units of some channels see, for each spatial axis of the network's input."""

    wide: tuple[Bands, ...]  # the union over all local paths
    paths: tuple[Bands, ...]  # alternatives: the paths that see least, or may later; `wide` itself where there is one
    through_global: bool = False  # every path leads through a global pool or a dense layer
    context: bool = False  # some path does
    aligned: bool = True  # all paths have one stride and one centre
    # Where units read nothing by some paths (transposed convolutions with gaps, PixelShuffle), a path is read at a unit
    # only if it is on every axis: the paths, each with its band on each axis. Elsewhere the axes are independent: ().
    terms: tuple[tuple[Band, ...], ...] = ()

    @property
    def global_context(self) -> bool:
        """Whether some path sees the whole input."""
        return self.context or self.through_global

    def lies_on(self, axis: int) -> bool:
        """Whether units of some axis of the input lie along this axis of the tensor."""
        return any(band.carrier == axis for bands in self.wide for band in bands)

    def moved(self, band: Callable[[Band], Band]) -> FieldState:
        """The state with each band changed."""
        wide = tuple(tuple(map(band, bands)) for bands in self.wide)
        paths = wide if self.paths is self.wide else tuple(tuple(map(band, bands)) for bands in self.paths)
        terms = tuple(tuple(map(band, term)) for term in self.terms)
        return self._replace(wide=wide, paths=paths, terms=terms)


class Part(NamedTuple):
    """Channels that see alike, as bits: bit `c` for channel `c`."""

    channels: int
    state: FieldState


class TensorField(NamedTuple):
    """What the units of one tensor see. Its parts lie along `axis`: the channels, unless something permuted them."""

    parts: tuple[Part, ...]  # of different states; a single one is ALL
    axis: int
    aligned: bool  # within each part, and the parts with each other

    @property
    def states(self) -> list[FieldState]:
        """The states, those that see everything only where all do."""
        return [part.state for part in self.parts if not part.state.through_global] or self.all_states

    @property
    def all_states(self) -> list[FieldState]:
        """The states, those that see everything too."""
        return [part.state for part in self.parts]

    @property
    def through_global(self) -> bool:
        """Whether every path, of all channels, leads through a global pool or a dense layer."""
        return all(part.state.through_global for part in self.parts)

    @property
    def global_context(self) -> bool:
        """Whether some path of some channel sees the whole input."""
        return any(part.state.global_context for part in self.parts)

    @property
    def carriers(self) -> tuple[int, ...]:
        """Which axis of the tensor each input axis lies on; GONE where it had one unit when it was flattened away."""
        return tuple(bands[0].carrier for bands in self.states[0].wide)

    @property
    def lost(self) -> tuple[int, ...]:
        """0, or the units that an input axis had when Flatten made it one with others."""
        return tuple(bands[0].lost for bands in self.states[0].wide)

    def units(self, shape: Shape) -> list[int]:
        """How many units a tensor of this shape has along each input axis."""
        return [bands[0].units(shape) for bands in self.states[0].wide]

    def spans(self, shape: Shape) -> tuple[int, ...]:
        """The receptive field on each input axis, for a tensor of this shape: the largest over units and channels."""
        axes = zip(*(state.wide for state in self.states), strict=True)
        return tuple(max(span(bands, shape) for bands in axis) for axis in axes)


def united(states: Sequence[FieldState], work: Work) -> FieldState:
    """The union over the states that are local, if any is."""
    local = [state for state in states if not state.through_global] or states
    context = any(state.context for state in states) or len(local) < len(states)
    aligned = all(state.aligned for state in local)
    first = local[0]
    if all(state.wide is first.wide and state.paths is first.paths for state in local):
        return first._replace(context=context, aligned=aligned)
    terms = joint_terms([product(*state.wide) if not state.terms else state.terms for state in local])
    chosen = distinct if terms else smallest
    wide, paths = [], []
    for axis, bands in enumerate(first.wide):
        if all(state.wide[axis] is bands and state.paths[axis] is first.paths[axis] for state in local):
            wide.append(bands)
            paths.append(first.paths[axis])
            continue
        together = [band for state in local for band in state.wide[axis]]
        wide.append(union(together, work))
        paths.append(chosen(band for state in local for band in state.paths[axis]))
        aligned = aligned and _one_centre(together)
    return first._replace(
        wide=tuple(wide),
        paths=tuple(wide) if wide == paths and all(len(bands) == 1 for bands in wide) else tuple(paths),
        context=context,
        aligned=aligned,
        terms=terms,
    )


def joint_terms(branches: Iterable[Iterable[tuple[Band, ...]]]) -> tuple[tuple[Band, ...], ...]:
    """The terms of several paths together; none where each unit reads by all of them, or they are too many."""
    terms = tuple(dict.fromkeys(chain.from_iterable(branches)))
    if not 1 < len(terms) <= MOST_TERMS or not any(band.holed for term in terms for band in term):
        return ()
    return terms


def _one_centre(bands: Iterable[Band]) -> bool:
    """Whether they have one stride, and centres that coincide. Of one unit that all read, no one is off."""
    moving = [band for band in bands if band.step and any(band.phases)]
    if not moving:
        return True
    first, place = moving[0], centre(moving[0])
    return all(
        band is first or (band.pace == first.pace and band.carrier == first.carrier and centre(band) == place)
        for band in moving
    )


def regrouped(parts: Sequence[Part], window: Window, size: int, units: int) -> list[tuple[int, list[FieldState]]]:
    """Of the `units` channels behind a window over `size` of them: which read which states."""
    if window == POINT:
        return [(channels, [state]) for channels, state in parts]
    if isinstance(window, Global):
        return [(ALL, [state for _, state in parts])]
    if isinstance(window, Shuffled):
        return [(_dealt(channels, window), [state]) for channels, state in parts]
    if isinstance(window, Sliding) and window.kernel == window.stride == 1:
        moved = [(_moved(channels, window.before) & ((1 << units) - 1), [state]) for channels, state in parts]
        return [(channels, states) for channels, states in moved if channels]
    behind: dict[tuple[int, ...], int] = {}  # the numbers of the states -> of the channels that read them
    for channel in range(units):
        needed = 0
        reads = window.reads(channel)
        if isinstance(reads, range) and reads.step == 1:
            first, stop = max(reads.start, 0), min(reads.stop, size)
            needed = ((1 << max(0, stop - first)) - 1) << first
        else:
            needed = sum(1 << read for read in reads if 0 <= read < size)
        key = tuple(number for number, (channels, _) in enumerate(parts) if channels & needed)
        behind[key] = behind.get(key, 0) | 1 << channel
    read = [(channels, [parts[number].state for number in key]) for key, channels in behind.items() if key]
    return read or [(ALL, [state for _, state in parts])]  # of units that read padding alone nothing is said


def _moved(channels: int, places: int) -> int:
    return channels << places if places > 0 else channels >> -places


def _dealt(channels: int, window: Shuffled) -> int:
    """The channels behind a shuffle that read these."""
    each = window.size // window.groups
    before = f"{channels:0{window.size}b}"[::-1]
    behind = [""] * window.size
    for group in range(window.groups):
        behind[group :: window.groups] = before[group * each : (group + 1) * each]
    return int("".join(reversed(behind)), 2)


def too_irregular(node: Node, graph: Graph, reason: str) -> SpecError:
    """The error for a layer of which it would take too long to say what it reads."""
    message = f"{node.op.op_name}: its receptive field is too irregular to be worked out: {reason}"
    fault = Diagnostic("E208", message, node.origin.place, notes=(f"layer `{node.name}`",))
    return SpecError([fault], path=graph.path or "spec")
