"""A network as shapes on paper: rectangles, lines and texts, each with a style. Whatever draws it takes these."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

from cnnspec.analysis.explain import call_text
from cnnspec.drawing.boxes import Scene, inner_name, layer_count, output_word, times
from cnnspec.drawing.layered import Arrangement, Point, Spacing, arrange
from cnnspec.drawing.palette import text_width
from cnnspec.drawing.scheme import Box, Card, Group
from cnnspec.drawing.words import details, kind_of
from cnnspec.graph import INPUT, Graph, Node

__all__ = ["Line", "Picture", "Rectangle", "Text", "picture"]

ROW: Final = 23.0  # the height of a layer
HEAD: Final = 19.0  # of the name of a box
CLOSED: Final = 44.0  # of a closed group
SIDE: Final = 18.0  # between a group's border and what is inside
STACK: Final = 4.0  # by how much the copies behind a group stick out
MARGIN: Final = 20.0
PILL: Final = 24.0
SPACING: Final = Spacing()


class Rectangle(NamedTuple):
    """A rectangle; `title` is what is said where a pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    radius: float
    style: str
    title: str = ""


class Line(NamedTuple):
    """A line from point to point: straight, and where it changes its column bent like an S."""

    points: tuple[Point, ...]
    arrow: bool


class Text(NamedTuple):
    """A text on one line; `x` is where it starts, its middle, or where it ends, and `y` its foot."""

    x: float
    y: float
    text: str
    style: str
    anchor: Literal["start", "middle", "end"] = "start"


Shape2D: TypeAlias = Rectangle | Line | Text


@dataclass(frozen=True)
class Picture:
    """The shapes, those below first, and the size of the paper in pixels."""

    name: str
    width: float
    height: float
    shapes: tuple[Shape2D, ...]


def picture(scene: Scene) -> Picture:
    """The picture of a scene."""
    return _Painter(scene).paint()


@dataclass
class _Laid:
    """A box with its size; for an open group also what is inside, and where its ports and results are."""

    box: Box
    width: float
    height: float
    inside: list[_Laid] = field(default_factory=list)
    arrangement: Arrangement | None = None
    ports: dict[str, float] = field(default_factory=dict)  # right of the middle
    results: dict[str, float] = field(default_factory=dict)

    @property
    def is_open(self) -> bool:
        return self.arrangement is not None


class _Painter:
    def __init__(self, scene: Scene) -> None:
        self.graph, self.root, self.depth = scene.graph, scene.root, scene.depth
        self.shapes: list[Shape2D] = []

    def paint(self) -> Picture:
        laid = self.open_group(self.root, self.depth)
        heads = [(self.graph.name, "title"), (self.about(), "about")]
        width = max(laid.width, *(text_width(text, style) for text, style in heads)) + 2 * MARGIN
        y = MARGIN
        for text, style in heads:
            y += 16
            self.shapes.append(Text(MARGIN, y, text, style))
            y += 5
        self.inside(laid, (width - laid.width) / 2, y + 12)
        return Picture(self.graph.name, width, y + 12 + laid.height + MARGIN, tuple(self.shapes))

    def about(self) -> str:
        """The network's figures in one line."""
        params = sum(node.params for node in self.graph)
        layers = len(self.graph)
        return f"{layers:,} layers  ·  {params:,} parameters  ·  {self.graph.macs:,} MACs"

    # Sizes, from inside out

    def laid(self, box: Box, around: str, depth: int) -> _Laid:
        if isinstance(box, Card):
            return self.card(box, around)
        if depth:
            return self.open_group(box, depth, around)
        head = _heading(box, around)
        width = max(head, text_width(layer_count(box), "layers")) + 32
        return _Laid(box, max(96.0, width), CLOSED)

    def card(self, card: Card, around: str) -> _Laid:
        width = max(map(_row_width, card.layers))
        if card.name:
            width = max(width, text_width(inner_name(card, around), "layers") + _badge(card) + 8)
        return _Laid(card, max(88.0, width + 26), len(card.layers) * ROW + (HEAD if card.name else 0))

    def open_group(self, group: Group, depth: int, around: str = "") -> _Laid:
        """An open group: its boxes, and before and behind them its ports and results as points on its border."""
        inside = [self.laid(child, group.name, depth - 1) for child in group.children]
        is_root = group is self.root
        ports = list(group.ports)
        results = list(dict.fromkeys(tensor for _, tensor in group.results))
        pill = [(_pill_width(self.graph, tensor), PILL) for tensor in ports] if is_root else [(0.0, 0.0)] * len(ports)
        ends = (
            [(_pill_width(self.graph, tensor), PILL) for tensor in results] if is_root else [(0.0, 0.0)] * len(results)
        )
        sizes = [*pill, *((each.width, each.height) for each in inside), *ends]
        first, behind = len(ports), len(ports) + len(inside)
        edges, anchors = [], []
        for edge in group.edges:
            source = -1 - edge.source if edge.source < 0 else first + edge.source
            leaves = _result_anchor(inside[edge.source], edge.tensor) if edge.source >= 0 else 0.0
            edges.append((source, first + edge.target))
            anchors.append((leaves, inside[edge.target].ports.get(edge.tensor, 0.0)))
        for child, tensor in group.results:
            edges.append((first + child, behind + results.index(tensor)))
            anchors.append((_result_anchor(inside[child], tensor), 0.0))
        last = () if is_root else tuple(range(behind, behind + len(results)))
        arrangement = arrange(sizes, edges, SPACING, anchors=anchors, last=last)
        title = _heading(group, around) + 20
        side = 0.0 if is_root else SIDE
        width = max(arrangement.width + 2 * side, 0.0 if is_root else title)
        left = (width - arrangement.width) / 2 - width / 2
        return _Laid(
            group,
            width,
            arrangement.height,
            inside,
            arrangement,
            {tensor: arrangement.tops[number].x + left for number, tensor in enumerate(ports)},
            {tensor: arrangement.tops[behind + number].x + left for number, tensor in enumerate(results)},
        )

    # Places, from outside in

    def put(self, laid: _Laid, x: float, y: float, around: str) -> None:
        """Draw a box whose upper left corner is here."""
        box = laid.box
        self.copies_behind(laid, x, y)
        if isinstance(box, Card):
            self.put_card(laid, box, x, y, around)
            return
        name = inner_name(box, around)
        style = "open" if laid.is_open else "closed"
        self.shapes.append(Rectangle(x, y, laid.width, laid.height, 9, style, self.group_title(box)))
        if laid.is_open:
            self.inside(laid, x, y)
            self.head(box, name, x + 10, y + 17)
            return
        middle = x + laid.width / 2
        self.head(box, name, middle - _heading(box, around) / 2, y + 19)
        self.shapes.append(Text(middle, y + 34, layer_count(box), "layers", anchor="middle"))

    def head(self, box: Box, name: str, x: float, y: float) -> None:
        """The name of a group, the block that it is a call of, and how many they are."""
        self.shapes.append(Text(x, y, name, "group"))
        x += text_width(name, "group") + 7
        if box.block is not None:
            self.shapes.append(Text(x, y, box.block, "block"))
            x += text_width(box.block, "block") + 7
        self.badge(box, x, y - 12)

    def copies_behind(self, laid: _Laid, x: float, y: float) -> None:
        """The borders of copies behind a box, of which two are seen at most."""
        for number in range(min(2, max(0, len(laid.box.copies) - 1)), 0, -1):
            off = STACK * number
            self.shapes.append(Rectangle(x + off, y + off, laid.width, laid.height, 7, "copy"))

    def put_card(self, laid: _Laid, card: Card, x: float, y: float, around: str) -> None:
        self.shapes.append(Rectangle(x, y, laid.width, laid.height, 6, "card"))
        top = y
        if card.name:
            name = inner_name(card, around)
            self.shapes.append(Text(x + 12, y + 14, name, "layers"))
            self.badge(card, x + 12 + text_width(name, "layers") + 7, y + 3)
            top += HEAD
        for number, node in enumerate(card.layers):
            kind = kind_of(node.op)
            row = top + number * ROW
            self.shapes.append(
                Rectangle(x + 2, row + 1, laid.width - 4, ROW - 2, 4, f"kind-{kind}", self.layer_title(node))
            )
            self.shapes.append(Rectangle(x + 2, row + 1, 4, ROW - 2, 2, f"mark-{kind}"))
            self.shapes.append(Text(x + 13, row + 15.5, node.op.op_name, "name"))
            if words := details(node.op):
                self.shapes.append(Text(x + 13 + text_width(node.op.op_name, "name") + 6, row + 15.5, words, "details"))

    def badge(self, box: Box, x: float, y: float) -> None:
        if len(box.copies) > 1:
            text = f"× {len(box.copies)}"
            width = text_width(text, "badge") + 12
            self.shapes.append(Rectangle(x, y, width, 16, 8, "badge"))
            self.shapes.append(Text(x + width / 2, y + 12, text, "badge", anchor="middle"))

    def inside(self, laid: _Laid, x: float, y: float) -> None:
        """Draw what an open group has inside: the lines, the boxes over them, and the shapes beside."""
        group, arrangement = laid.box, laid.arrangement
        assert isinstance(group, Group)
        assert arrangement is not None
        left = x + (laid.width - arrangement.width) / 2
        first = len(group.ports)
        is_root = group is self.root
        lines = [(edge.source, edge.target, edge.tensor, True) for edge in group.edges] + [
            (child, -1, tensor, False) for child, tensor in group.results
        ]
        leaving: dict[tuple[int, str], list[tuple[Point, ...]]] = {}  # the lines of one tensor from one box
        for (source, target, tensor, is_edge), route in zip(lines, arrangement.routes, strict=True):
            points = tuple(Point(left + point.x, y + point.y) for point in route)
            ends_at_box = not laid.inside[target].is_open if is_edge else is_root
            self.shapes.append(Line(points, ends_at_box))
            if source >= 0 and (is_edge or is_root):
                leaving.setdefault((source, tensor), []).append(points)
        labels = [
            _shape_label(times(self.graph.shape_of(tensor)), routes, _stack(laid.inside[source].box))
            for (source, tensor), routes in leaving.items()
        ]
        for number, child in enumerate(laid.inside):
            top = arrangement.tops[first + number]
            self.put(child, left + top.x - child.width / 2, y + top.y, group.name)
        if is_root:
            for number, tensor in enumerate(group.ports):
                self.pill(tensor, left, y, arrangement.tops[number], is_input=True)
            results = list(dict.fromkeys(tensor for _, tensor in group.results))
            for number, tensor in enumerate(results):
                self.pill(tensor, left, y, arrangement.tops[first + len(laid.inside) + number], is_input=False)
        self.shapes += labels

    def pill(self, tensor: str, left: float, y: float, top: Point, *, is_input: bool) -> None:
        width = _pill_width(self.graph, tensor)
        text = _pill_text(self.graph, tensor)
        self.shapes.append(Rectangle(left + top.x - width / 2, y + top.y, width, PILL, PILL / 2, "pill"))
        self.shapes.append(Text(left + top.x, y + top.y + 16, text, "pill", anchor="middle"))

    # What is said where a pointer rests

    def layer_title(self, node: Node) -> str:
        lines = [node.name, call_text(node.op), f"gives {times(node.shape)}"]
        if node.params:
            lines.append(f"{node.params:,} parameters")
        if node.macs:
            lines.append(f"{node.macs:,} MACs")
        return "\n".join(lines)

    def group_title(self, group: Group) -> str:
        params = sum(node.params for node in group.layers) * max(1, len(group.copies))
        return f"{', '.join(group.copies) or group.name}\n{group.count():,} layers, {params:,} parameters"


def _shape_label(text: str, routes: list[tuple[Point, ...]], below: float) -> Text:
    """What is said beside the lines that leave one place, on the side where none goes."""
    start = routes[0][0]
    is_right = any(route[-1].x > start.x + 1 for route in routes) and all(route[-1].x > start.x - 1 for route in routes)
    x = start.x - 6 if is_right else start.x + 6
    return Text(x, start.y + 14 + below, text, "shape", "end" if is_right else "start")


def _result_anchor(laid: _Laid, tensor: str) -> float:
    """Where a tensor leaves a box, right of its middle. Of several copies it is the last that gives it."""
    if tensor in laid.results or not laid.results:
        return laid.results.get(tensor, 0.0)
    return next(iter(laid.results.values()))


def _row_width(node: Node) -> float:
    words = details(node.op)
    return text_width(node.op.op_name, "name") + (text_width(words, "details") + 6 if words else 0)


def _badge(box: Box) -> float:
    """The room that a badge takes behind a name."""
    return text_width(f"× {len(box.copies)}", "badge") + 12 + 7 if len(box.copies) > 1 else 0.0


def _heading(box: Box, around: str) -> float:
    """The room that the name of a group takes, with what is behind it."""
    block = text_width(box.block, "block") + 7 if box.block is not None else 0.0
    return text_width(inner_name(box, around), "group") + block + _badge(box)


def _stack(box: Box) -> float:
    return STACK * min(2, max(0, len(box.copies) - 1))


def _pill_text(graph: Graph, tensor: str) -> str:
    if tensor == INPUT:
        return f"input  {times(graph.input_shape)}"
    return output_word(graph, tensor)


def _pill_width(graph: Graph, tensor: str) -> float:
    return text_width(_pill_text(graph, tensor), "pill") + 26
