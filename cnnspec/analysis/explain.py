"""The arithmetic behind one layer's figures, with the numbers put in, as a person would write it on paper."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from cnnspec.analysis.receptive_field import FieldState, fields, spans
from cnnspec.analysis.report import LayerReport
from cnnspec.errors import UsageError
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import JOINS, AnyOp, show_shape
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.linear import Linear
from cnnspec.ops.window import Adaptive, Global, Sliding, Transposed, Window
from cnnspec.spec.hints import did_you_mean

__all__ = ["Explanation", "call_text", "explain", "find_node", "size_formula"]

FIGURES = ("receptive field", "effective stride", "effective padding")
SHOWN = 12  # layers that a hint names
AXES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}


@dataclass(frozen=True)
class Explanation:
    """A layer's arithmetic: pairs of a heading and its line. A heading may be empty: the line continues."""

    layer: str
    call: str
    lines: tuple[tuple[str, str], ...]

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
    more = ", …" if len(names) > SHOWN else ""
    hint = did_you_mean(name, names) or f"the layers are: {', '.join(names[:SHOWN])}{more}"
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
            widths = sorted(set(window.widths))
            shown = str(widths[0]) if len(widths) == 1 else f"{widths[0]} to {widths[-1]}"
            return f"{window.out}, as asked: each unit reads {shown} of {window.size}"
        case Global():
            return f"every unit reads all {size}"
        case _:
            return f"from {size}"


def _never_read(window: Sliding, size: int) -> str:
    """What the division leaves over at the far end: pixels of the input, or only padding."""
    unread = window.unread(size)
    pixels = unread - max(0, window.after)
    if pixels > 0:
        return f"  ({pixels} border pixel{'s are' if pixels > 1 else ' is'} never read)"
    return "  (the last of the padding is not read)" if unread else ""


def _dilated(size: int, window: Sliding) -> str:
    return f"{size} - {window.dilation}*({window.kernel} - 1) - 1"


def explain(graph: Graph, row: LayerReport) -> Explanation:
    """The arithmetic of one layer of a report. Raises UsageError where there is no such layer."""
    node = find_node(graph, row.name)
    sources = zip(node.inputs, node.input_shapes, strict=True)
    lines = [("reads", ", ".join(f"{name} {show_shape(shape)}" for name, shape in sources))]
    lines += _sizes(node)
    formula = node.op.parameter_formula(*node.input_shapes)
    if row.params:
        lines.append(("parameters", f"{formula} = {row.params:,}" if formula else f"{row.params:,}"))
    if row.buffers:
        lines.append(("buffers", f"{row.buffers:,}"))
    if row.macs:
        lines.append(("MACs", f"{_mac_formula(node)} = {row.macs:,}"))
    if row.flops is None:
        lines.append(("FLOPs", "unknown"))
    elif row.flops:
        other = row.flops - 2 * row.macs
        sum_of = f"2*{row.macs:,} + {other:,}" if other else f"2*{row.macs:,}"
        lines.append(("FLOPs", f"{sum_of} = {row.flops:,}" if row.macs else f"{row.flops:,}"))
    return Explanation(node.name, call_text(node.op), tuple(lines + _field(graph, node, row)))


def _sizes(node: Node) -> list[tuple[str, str]]:
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


def _mac_formula(node: Node) -> str:
    op, shape, out = node.op, node.input_shapes[0], node.shape
    match op:
        case Conv():
            return f"{show_shape(out)} outputs * {shape[0] // op.groups} channels * {prod(op.kernel_size)} taps"
        case ConvTranspose():
            return f"{show_shape(shape)} inputs * {op.out_channels // op.groups} channels * {prod(op.kernel_size)} taps"
        case Linear():
            return f"{show_shape(shape)} inputs * {op.out_features} outputs"
        case _:
            return "multiply-accumulates"


def _field(graph: Graph, node: Node, row: LayerReport) -> list[tuple[str, str]]:
    """How the receptive field grew in this layer."""
    if not row.receptive_field:
        return []
    states = fields(graph)
    state, before = states[node.name], [states[name] for name in node.inputs]
    lines = []
    if isinstance(node.op, JOINS):
        parts = zip(node.inputs, before, strict=True)
        union = ", ".join(f"{name} {_shown_span(graph, name, other)}" for name, other in parts)
        lines.append(("receptive field", f"the union of {union} = {show_shape(row.receptive_field)}"))
    else:
        lines += _growth(node, before[0], row)
    if not row.aligned:
        lines.append(("", "its branches are not aligned: the largest span over the units is given"))
    if row.min_receptive_field != row.receptive_field:
        lines.append(("", f"the path that sees least: {show_shape(row.min_receptive_field)}"))
    if any(row.pixels_read[axis] < size for axis, size in enumerate(row.receptive_field)):
        lines.append(
            ("", f"dilation or stride leaves holes: {show_shape(row.pixels_read)} pixels of the span are read")
        )
    if state.global_context:
        lines.append(("", "and the whole input, through a global pool, a dense layer or a norm"))
    return lines


def _growth(node: Node, before: FieldState, row: LayerReport) -> list[tuple[str, str]]:
    windows = node.op.windows(*node.input_shapes)
    grown = []
    for axis, field in enumerate(before.wide):
        carrier = before.carriers[axis]
        if before.lost[axis] or carrier == 0 or carrier > len(windows):
            continue
        window, only = windows[carrier - 1], field[0].phases[0]
        simple = len(field) == 1 and len(field[0].phases) == 1 and only is not None
        if isinstance(window, Sliding) and simple and only is not None:
            step = field[0].step
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
            grown.append(
                (f"{row.receptive_field[axis]}", f"{row.effective_stride[axis]}", f"{row.effective_padding[axis]}")
            )
    if not grown:
        return [("receptive field", show_shape(row.receptive_field))]
    if len(set(grown)) == 1:
        suffix = "  (on every axis)" if len(grown) > 1 else ""
        return [(figure, text + suffix) for figure, text in zip(FIGURES, grown[0], strict=True)]
    return [
        (f"{figure}, {name}", texts[index])
        for index, figure in enumerate(FIGURES)
        for name, texts in zip(AXES[len(grown)], grown, strict=True)
    ]


def _shown_span(graph: Graph, name: str, state: FieldState) -> str:
    shown = show_shape(tuple(spans(state.wide, state, graph.shape_of(name))))
    return f"{shown} and everything" if state.through_global and name != INPUT else shown
