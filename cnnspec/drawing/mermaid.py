"""Pictures as Mermaid flowcharts, which Markdown pages show."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec.drawing.boxes import Scene, inner_name, layer_count, output_word, times
from cnnspec.drawing.flat import Flat, Place
from cnnspec.drawing.palette import LIGHT
from cnnspec.drawing.scheme import Card
from cnnspec.drawing.words import details, kind_of

__all__ = ["to_mermaid"]

_ENTITIES = str.maketrans({letter: f"#{ord(letter)};" for letter in '"#&;<>[]{}()|`\\'})


def to_mermaid(scene: Scene) -> str:
    """The network as a flowchart"""
    graph = scene.graph
    flat = Flat(scene.root, scene.depth)
    lines = ["flowchart TB", f'  input(["input {times(graph.input_shape)}"])']
    for place in flat.places:
        lines += _box(place, "  ")
    for tensor, name in flat.outputs.items():
        lines.append(f'  {name}(["{output_word(graph, tensor)}"])')
    for arrow in flat.arrows:
        source, target = flat.ends(arrow)
        label = "" if arrow.source is None else f'|"{times(graph.shape_of(arrow.tensor))}"|'
        lines.append(f"  {source} -->{label} {target}")
    seen = dict.fromkeys(kind for place in flat.places for kind in _kinds(place))
    for kind in seen:
        colours = f"fill:{LIGHT.kinds[kind]},stroke:{LIGHT.marks[kind]},color:{LIGHT.ink}"
        lines.append(f"  classDef {kind} {colours}")
    return "\n".join(lines) + "\n"


def _box(place: Place, indent: str) -> Iterator[str]:
    box, name = place.box, f"b{place.number}"
    title = inner_name(box, place.around).translate(_ENTITIES)
    copies = (f" {box.block}" if box.block and title else "") + (f" × {len(box.copies)}" if box.copies else "")
    if isinstance(box, Card):
        rows = [f"{node.op.op_name} {details(node.op)}".strip().translate(_ENTITIES) for node in box.layers]
        if title:
            rows.insert(0, f"{title}{copies}")
        yield f'{indent}{name}["{"<br>".join(rows)}"]:::{kind_of(box.layers[0].op)}'
    elif not place.is_open:
        yield f'{indent}{name}[["{title}{copies}<br>{layer_count(box)}"]]'
    else:
        yield f'{indent}subgraph {name}["{title}{copies}"]'
        for child in place.inside:
            yield from _box(child, f"{indent}  ")
        yield f"{indent}end"


def _kinds(place: Place) -> Iterator[str]:
    if isinstance(place.box, Card):
        yield kind_of(place.box.layers[0].op)
    for child in place.inside:
        yield from _kinds(child)
