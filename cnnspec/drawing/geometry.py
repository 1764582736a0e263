"""What units read, as plain data: enough to work out the field of any unit in a browser.

Windows say what a layer reads of the one before, axis by axis with the channels first; from them follow, going back to
the input, the pixels that a unit really reads, as in `analysis.unit_field`. States say what is seen of the input by
arithmetic, not clipped to it. Equal windows and equal states are listed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cnnspec.analysis.bands import Band
from cnnspec.analysis.field_state import ALL, FieldState, TensorField
from cnnspec.analysis.receptive_field import fields, read_windows
from cnnspec.analysis.view import channel_ranges
from cnnspec.graph import Graph, Node
from cnnspec.ops import JOINS, REDUCTIONS, Shape
from cnnspec.ops.merge import Concat
from cnnspec.ops.norm import GRN, BatchNorm, GroupNorm, InstanceNorm
from cnnspec.ops.resample import PixelShuffle
from cnnspec.ops.reshape import Flatten, Permute
from cnnspec.ops.unflatten import Reshape, Unflatten
from cnnspec.ops.window import Adaptive, Global, Grouped, Resized, Shuffled, Sliding, Transposed, Window

__all__ = ["Geometry"]

MOST_PHASES: Final = 4096  # of a band that is written out
Data = dict[str, Any]


class Geometry:
    """Collects the windows and states of a graph's layers. Raises SpecError where a field is too irregular."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.windows: list[Data] = []
        self.states: list[Data] = []
        self._window_numbers: dict[tuple[Window, int, int], int] = {}
        self._state_numbers: dict[int, int] = {}
        self.fields = fields(graph)

    def of(self, node: Node) -> Data:
        """How a layer reads, and what its units see."""
        return {**self.reading(node), **self.seen(self.fields[node.name])}

    def reading(self, node: Node) -> Data:
        """How a layer reads: `w` its windows, or what else it does with axes."""
        op, shape = node.op, node.input_shapes[0]
        if isinstance(op, Concat):
            return {"do": "concat", "along": op.axis(node.shape)}
        if isinstance(op, JOINS):
            return {"do": "join"}
        if isinstance(op, Permute):
            return {"do": "permute", "order": list(op.permuted(shape))}
        if isinstance(op, Flatten):
            return {"do": "flatten", "merged": list(op.merged(shape))}
        if isinstance(op, (Reshape, Unflatten)):
            return {"do": "regroup", "groups": [list(group) for group in op.regroupings(shape)]}
        if isinstance(op, REDUCTIONS) and (gone := op.gone(shape)):
            kept = op.kept_shape(shape)
            windows = self.numbers(read_windows(op, shape), shape, kept)
            return {"do": "reduce", "gone": list(gone), "kept": list(kept), "w": windows}
        found: Data = {"w": self.numbers(read_windows(op, shape), shape, node.shape)}
        if isinstance(op, PixelShuffle):
            found |= {"do": "shuffle", "factor": op.upscale_factor}
        if isinstance(op, (BatchNorm, GroupNorm, InstanceNorm, GRN)) and op.global_statistics:
            groups = op.num_groups if isinstance(op, GroupNorm) else 1 if isinstance(op, GRN) else shape[0]
            each = shape[0] // groups
            whole: tuple[Window, ...] = (Grouped(each, each), *(Global() for _ in shape[1:]))
            found["whole"] = self.numbers(whole, shape, node.shape)  # where all that is read counts
        return found

    def numbers(self, windows: Sequence[Window], shape: Shape, out: Shape) -> list[int]:
        """The numbers of windows in the list."""
        return [self.number(*axis) for axis in zip(windows, shape, out, strict=True)]

    def number(self, window: Window, size: int, units: int) -> int:
        """The number of a window; one that no rule of few numbers says is written out for its units."""
        key = (window, size, units) if isinstance(window, Resized) else (window, 0, 0)
        if key not in self._window_numbers:
            self._window_numbers[key] = len(self.windows)
            self.windows.append(_window(window, units))
        return self._window_numbers[key]

    def seen(self, field: TensorField) -> Data:
        """The states of a layer's channels, and the axis that those lie along."""
        parts = [
            {
                "state": self.state(part.state),
                **({} if part.channels == ALL else {"channels": [list(run) for run in channel_ranges(part.channels)]}),
            }
            for part in field.parts
        ]
        return {"axis": field.axis, "parts": parts, "carriers": list(field.carriers), "lost": any(field.lost)}

    def state(self, state: FieldState) -> int:
        """The number of a state in the list."""
        key = id(state)  # which `fields` keeps alive
        if key not in self._state_numbers:
            self._state_numbers[key] = len(self.states)
            self.states.append(
                {
                    "all": state.through_global,
                    "context": state.global_context,
                    "bands": [[_band(band) for band in bands] for bands in state.wide],
                }
            )
        return self._state_numbers[key]


def _window(window: Window, units: int) -> Data:
    match window:
        case Sliding():
            return {
                "kind": "sliding",
                "kernel": window.kernel,
                "stride": window.stride,
                "dilation": window.dilation,
                "before": window.before,
                "after": window.after,
                **({} if window.border == "constant" else {"border": window.border}),
            }
        case Transposed():
            return {
                "kind": "transposed",
                "kernel": window.kernel,
                "stride": window.stride,
                "dilation": window.dilation,
                "padding": window.padding,
            }
        case Adaptive():
            return {"kind": "adaptive", "size": window.size, "out": window.out}
        case Grouped():
            return {"kind": "grouped", "size": window.size, "out": window.out}
        case Shuffled():
            return {"kind": "shuffled", "size": window.size, "groups": window.groups}
        case Resized():
            reads = [window.reads(unit) for unit in range(units)]
            return {"kind": "listed", "reads": [[taps[0], len(taps)] for taps in reads]}
        case Global():
            return {"kind": "global"}


def _band(band: Band) -> Data:
    phases = band.phases if len(band.phases) <= MOST_PHASES else ()
    return {"step": band.step, "phases": [reads and [reads.low, reads.high] for reads in phases]}
