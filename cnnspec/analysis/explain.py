"""The arithmetic behind one layer's figures, with the numbers put in, as a person would write it on paper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import assert_never

from cnnspec.analysis.field_state import TensorField
from cnnspec.analysis.layer_report import LayerReport
from cnnspec.analysis.receptive_field import fields
from cnnspec.analysis.report import Report
from cnnspec.errors import UsageError
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.hints import did_you_mean
from cnnspec.ops import AXES, JOINS, AnyOp, show_shape
from cnnspec.ops.merge import Concat
from cnnspec.ops.window import POINT, Adaptive, Global, Grouped, Resized, Shuffled, Sliding, Transposed, Window

__all__ = ["Explanation", "call_text", "explain", "find_node", "size_formula"]

FIGURES = ("receptive field", "effective stride", "effective padding")
SHOWN = 12  # layers that a hint names
MANY = 10_000  # units of an adaptive pool whose windows are looked at
TERMS = 6  # of a sum over a block
Lines = list[tuple[str, str]]  # what a line is about, and what it says


@dataclass(frozen=True)
class Explanation:
    """A layer's arithmetic: pairs of a heading and its line. A heading may be empty: the line continues."""

    layer: str
    call: str
    lines: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"<Explanation of {self.layer}: {self.call}>"

    def to_dict(self) -> dict[str, object]:
        """The explanation as plain data."""
        return {"layer": self.layer, "call": self.call, "lines": [list(line) for line in self.lines]}


def call_text(op: AnyOp) -> str:
    """An operator as a line of a spec: `Conv2d(6, 5, padding=2)`."""
    arguments = op.arguments()
    words = []
    for name in op.positional:
        if name not in arguments:
            break
        words.append(str(arguments.pop(name)))
    words += [f"{name}={value}" for name, value in arguments.items()]
    return f"{op.op_name}({', '.join(words)})" if words else op.op_name


def find_node(graph: Graph, name: str) -> Node:
    """The node of this name. Raises UsageError with the nearest."""
    if name in graph.by_name:
        return graph.by_name[name]
    names = list(graph.by_name)
    first, dots, _ = name.partition("..")
    if inside := [one for one in names if one.startswith(f"{name}.")]:
        raise UsageError(f"`{name}` is a block of {graph.name}, not a layer", hint=f"its last layer is `{inside[-1]}`")
    more = ", …" if len(names) > SHOWN else ""
    hint = did_you_mean(name, names) or f"the layers are: {', '.join(names[:SHOWN])}{more}"
    if dots and any(one == first or one.startswith(f"{first}.") for one in names):
        hint = f"a folded row stands for equal blocks; the first is `{first}`"
    raise UsageError(f"{graph.name} has no layer `{name}`", hint=hint)


def size_formula(window: Window, size: int) -> str:
    """The output size along one axis, with the numbers in: `(28 - 5 + 2*2)/1 + 1 = 28`."""
    match window:
        case Sliding():
            pads = window.before + window.after
            span = f"{size} - {window.kernel}" if window.dilation == 1 else _dilated(size, window)
            if pads:
                span += (
                    f" + 2*{window.before}" if window.before == window.after else f" + {window.before} + {window.after}"
                )
            result = window.out_size(size)
            left = (size + pads - window.extent) % window.stride
            ratio = f"({span})/{window.stride}"
            if left:
                ratio = f"{'ceil' if window.ceil_mode else 'floor'}({ratio})"
            line = f"{ratio} + 1 = {result}"
            if window.ceil_mode and left and result == (size + pads - window.extent) // window.stride + 1:
                line = f"floor({f'({span})/{window.stride}'}) + 1 = {result}  (a window in the padding is dropped)"
            return line + _never_read(window, size)
        case Transposed():
            parts = f"({size} - 1)*{window.stride}"
            parts += f" - 2*{window.padding}" if window.padding else ""
            taps = f"{window.dilation}*({window.kernel} - 1)" if window.dilation > 1 else f"({window.kernel} - 1)"
            parts += f" + {taps}" + (f" + {window.output_padding}" if window.output_padding else "")
            return f"{parts} + 1 = {window.out_size(size)}"
        case Adaptive():
            widths = sorted({len(window.reads(i)) for i in range(min(window.period, MANY))})
            shown = str(widths[0]) if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
            return f"{window.out}, as asked: each unit reads {shown} of {window.size}"
        case Global():
            return f"every unit reads all {size}"
        case Resized() | Grouped() | Shuffled():
            return f"from {size}"
        case _:
            assert_never(window)


def _never_read(window: Sliding, size: int) -> str:
    """What the division leaves over at the far end: pixels of the input, or only padding."""
    unread = window.unread(size)
    pixels = unread - max(0, window.after)
    if pixels > 0:
        return f"  ({pixels} border pixel{'s are' if pixels > 1 else ' is'} never read)"
    return "  (the last of the padding is not read)" if unread else ""


def _dilated(size: int, window: Sliding) -> str:
    return f"{size} - {window.dilation}*({window.kernel} - 1) - 1"


def explain(graph: Graph, report: Report, name: str, states: Mapping[str, TensorField] | None = None) -> Explanation:
    """The arithmetic of one layer, or the sums of a block as far as the report has it.

    `states` are the `fields` of the graph, for who explains several layers: they are all worked out at once.
    Raises UsageError where there is neither.
    """
    members = [row for row in report.layers if row.name.startswith(f"{name}.")]
    if members and name not in graph.by_name:
        return _block(graph, report, name, members)
    node = find_node(graph, name)
    row = report.layer(name)
    sources = zip(node.inputs, node.input_shapes, strict=True)
    lines = [("reads", ", ".join(f"{name} {show_shape(shape)}" for name, shape in sources))]
    lines += _runs([row])
    lines += _sizes(node)
    formula = node.op.parameter_formula(*node.input_shapes)
    if row.params:
        lines.append(("parameters", f"{formula} = {row.params:,}" if formula else f"{row.params:,}"))
    if row.buffers:
        parts = node.op.buffer_shapes(*node.input_shapes).items()
        lines.append(("buffers", f"{' + '.join(f'{prod(shape):,} {name}' for name, shape in parts)} = {row.buffers:,}"))
    if row.macs:
        lines.append(("MACs", f"{node.op.mac_formula(*node.input_shapes)} = {row.macs:,}"))
    if row.flops is None:
        lines.append(("FLOPs", "unknown"))
    elif row.flops:
        lines.append(("FLOPs", f"{_flop_formula(node, row)} = {row.flops:,}"))
    lines += _field(graph, node, row, report, states)
    if members:  # the layer that joins a block's branches has the block's name
        params, macs = (sum(getattr(row, figure) for row in [*members, row]) for figure in ("params", "macs"))
        lines.append(("block", f"{len(members) + 1} layers, {params:,} parameters, {macs:,} MACs"))
    return Explanation(node.name, call_text(node.op), tuple(lines))


def _runs(rows: list[LayerReport]) -> Lines:
    """When layers run, unless that is always."""
    if all(row.dead for row in rows):
        return [("runs", "never: nothing depends on it (W312)")]
    if all(row.aux or row.dead for row in rows):
        return [("runs", "in training only: it is part of an auxiliary head")]
    return []


def _block(graph: Graph, report: Report, name: str, members: list[LayerReport]) -> Explanation:
    """What the layers of a block read and give together, their sums, and each of them."""
    inside = {row.name for row in members}
    read = {source: shape for row in members for source, shape in zip(row.inputs, row.input_shapes, strict=True)}
    used = {source for row in report.layers if row.name not in inside for source in row.inputs} | set(graph.outputs)
    given = [row for row in members if row.name in used or row.name in graph.aux_outputs]
    lines = [
        ("reads", ", ".join(f"{source} {show_shape(shape)}" for source, shape in read.items() if source not in inside)),
        ("gives", ", ".join(f"{row.name} {show_shape(row.output_shape)}" for row in given) or "nothing that is read"),
        *_runs(members),
    ]
    for heading, figures in (
        ("parameters", [row.params for row in members]),
        ("buffers", [row.buffers for row in members]),
        ("MACs", [row.macs for row in members]),
        ("FLOPs", [row.flops for row in members]),
    ):
        known = [figure for figure in figures if figure is not None]
        if len(known) < len(figures):
            lines.append((heading, "unknown"))
        elif any(known):
            lines.append((heading, _sum(known)))
    if given:
        lines.append(("receptive field", given[-1].field_text))
    width = max(len(row.name) for row in members)
    calls = [f"{row.name.ljust(width)}  {call_text(graph.by_name[row.name].op)}" for row in members]
    lines += zip(("layers", *[""] * len(calls)), calls, strict=False)
    return Explanation(name, f"{len(members)} layer{'s' * (len(members) > 1)}", tuple(lines))


def _sum(figures: list[int]) -> str:
    """`2*36,864 + 2*128 = 73,984`: equal terms together, and the result alone where there are many different ones."""
    counts = Counter(figure for figure in figures if figure)
    terms = [f"{count}*{figure:,}" if count > 1 else f"{figure:,}" for figure, count in counts.items()]
    total = f"{sum(figures):,}"
    return total if len(terms) > TERMS or terms == [total] else f"{' + '.join(terms)} = {total}"


def _sizes(node: Node) -> Lines:
    shape = node.input_shapes[0]
    windows = node.op.windows(*node.input_shapes)
    if isinstance(node.op, JOINS) or len(node.shape) != len(shape) or len(windows) not in AXES:
        return [("output", show_shape(node.shape))]
    lines = [size_formula(window, size) for window, size in zip(windows, shape[1:], strict=True)]
    names = AXES[len(windows)]
    if node.shape[1:] == shape[1:] and all(isinstance(w, Sliding) and w.kernel == w.stride == 1 for w in windows):
        return [("output", f"{show_shape(node.shape)}")]
    if len(set(lines)) == 1 and len(lines) > 1:
        return [("output size", f"{lines[0]}  (on every axis)"), ("output", show_shape(node.shape))]
    return [*zip([f"output {name}" for name in names], lines, strict=True), ("output", show_shape(node.shape))]


def _flop_formula(node: Node, row: LayerReport) -> str:
    """2 per MAC and, for each output, what comes on top: `2*117,600 + 6x28x28 outputs`."""
    assert row.flops is not None
    other = row.flops - 2 * row.macs
    units, channels = prod(node.shape), node.shape[0]
    terms = [f"2*{row.macs:,}"] if row.macs else []
    if other and not other % units:
        terms.append(f"{show_shape(node.shape)} outputs" + (f" * {other // units:,}" if other > units else ""))
    elif other:  # an adaptive pool whose windows differ
        terms.append(f"{channels} channels * {other // channels:,}" if not other % channels else f"{other:,}")
    return " + ".join(terms)


def _field(
    graph: Graph, node: Node, row: LayerReport, report: Report, states: Mapping[str, TensorField] | None
) -> Lines:
    """How the receptive field grew in this layer."""
    if not row.receptive_field:
        return []
    states = fields(graph) if states is None else states
    before = [states[name] for name in node.inputs]
    rest: Lines = []
    if isinstance(node.op, JOINS):
        parts = zip(node.inputs, before, strict=True)
        union = ", ".join(f"{name} {_shown_span(graph, name, other)}" for name, other in parts)
        together = "each channel as in its branch:" if isinstance(node.op, Concat) else "the union of"
        field = f"{together} {union} = {show_shape(row.receptive_field)}"
        lines = [("receptive field", field)]
    else:
        prior = report.layer(node.inputs[0]) if node.inputs[0] != INPUT else None
        lines, rest = _growth(node, before[0], row, prior)
    notes = []
    if row.channel_fields:
        notes.append(("", f"the largest of {len(row.channel_fields)} that channels have: {_by_channel(row)}"))
    if not row.aligned:
        notes.append(("", "its branches are not aligned: the largest span over the units is given"))
    if row.min_receptive_field != row.receptive_field:
        notes.append(("", f"the path that sees least: {show_shape(row.min_receptive_field)}"))
    if any(row.pixels_read[axis] < size for axis, size in enumerate(row.receptive_field)):
        notes.append(
            ("", f"dilation or stride leaves holes: {show_shape(row.pixels_read)} pixels of the span are read")
        )
    if row.global_context:
        notes.append(("", "and the whole input, through a global pool, a dense layer or a norm"))
    return [*lines, *notes, *rest]


def _by_channel(row: LayerReport) -> str:
    """`1x1 in 0..3, 7x7 in 4..7`."""
    shown = []
    for part in row.channel_fields[:SHOWN]:
        ranges = [f"{start}..{stop - 1}" + (f" by {step}" if step > 1 else "") for start, stop, step in part.channels]
        more = ", …" if len(ranges) > TERMS else ""
        field = "all" if part.figures.sees_everything else show_shape(part.figures.receptive_field)
        shown.append(f"{field} in {' and '.join(ranges[:TERMS])}{more}")
    return "; ".join(shown) + ("; …" if len(row.channel_fields) > SHOWN else "")


def _growth(node: Node, before: TensorField, row: LayerReport, prior: LayerReport | None) -> tuple[Lines, Lines]:
    """The field, and stride and padding, along each axis; `prior` is the row of what is read, None for the input."""
    windows = node.op.windows(*node.input_shapes)
    grown = []
    for axis, bands in enumerate(before.states[0].wide):
        carrier = bands[0].carrier
        if bands[0].lost or carrier == 0 or carrier > len(windows):
            continue
        window, only = windows[carrier - 1], bands[0].phases[0]
        simple = len(before.parts) == len(bands) == len(bands[0].phases) == 1 and only is not None
        pointwise = window == POINT and not node.op.slides
        if isinstance(window, Sliding) and simple and only is not None and not pointwise:
            step = bands[0].step
            taps = (
                f"({window.kernel} - 1)*{window.dilation}*{step}"
                if window.dilation > 1
                else f"({window.kernel} - 1)*{step}"
            )
            grown.append(
                (
                    f"{only.size} + {taps} = {row.receptive_field[axis]}",
                    f"{step}*{window.stride} = {step * window.stride}",
                    f"{-only.low} + {window.before}*{step} = {row.effective_padding[axis]}",
                )
            )
        else:
            now, was = _figures(row, axis), _figures(prior, axis) if prior else ("1", "1", "0")
            grown.append((f"{now[0]}{', as before' if now == was else ''}", *now[1:]))
    if not grown:
        return [("receptive field", show_shape(row.receptive_field))], []
    if len(set(grown)) == 1:
        suffix = "  (on every axis)" if len(grown) > 1 else ""
        lines = [(figure, text + suffix) for figure, text in zip(FIGURES, grown[0], strict=True)]
        return lines[:1], lines[1:]
    lines = [
        (f"{figure}, {name}", texts[index])
        for index, figure in enumerate(FIGURES)
        for name, texts in zip(AXES[len(grown)], grown, strict=True)
    ]
    return lines[: len(grown)], lines[len(grown) :]


def _figures(row: LayerReport, axis: int) -> tuple[str, str, str]:
    return f"{row.receptive_field[axis]}", f"{row.effective_stride[axis]}", f"{row.effective_padding[axis]}"


def _shown_span(graph: Graph, name: str, field: TensorField) -> str:
    shown = show_shape(field.spans(graph.shape_of(name)))
    return f"{shown} and everything" if field.through_global and name != INPUT else shown
