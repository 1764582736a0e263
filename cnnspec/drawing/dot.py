"""Pictures in DOT, the language of Graphviz."""

from __future__ import annotations

from collections.abc import Iterator

from cnnspec.drawing.boxes import Scene, inner_name, layer_count, output_word, times
from cnnspec.drawing.flat import Flat, Place
from cnnspec.drawing.palette import LIGHT
from cnnspec.drawing.scheme import Card
from cnnspec.drawing.words import details, kind_of

__all__ = ["to_dot"]


def to_dot(scene: Scene) -> str:
    """The network as a graph in DOT"""
    graph = scene.graph
    flat = Flat(scene.root, scene.depth)
    lines = [
        f"digraph {_quoted(graph.name)} {{",
        f'  graph [fontname="Helvetica", color="{LIGHT.border}", bgcolor="{LIGHT.paper}", nodesep=0.35, ranksep=0.4];',
        f'  node [fontname="Helvetica", fontsize=11, shape=box, style="rounded,filled", fillcolor="{LIGHT.group}",'
        f' color="{LIGHT.border}", fontcolor="{LIGHT.ink}"];',
        f'  edge [fontname="Helvetica", fontsize=9, color="{LIGHT.line}", fontcolor="{LIGHT.muted}", arrowsize=0.6];',
        f'  input [label="input {times(graph.input_shape)}", shape=oval];',
    ]
    for place in flat.places:
        lines += _box(place, "  ")
    for tensor, name in flat.outputs.items():
        lines.append(f'  {name} [label="{output_word(graph, tensor)}", shape=oval];')
    for arrow in flat.arrows:
        source, target = flat.ends(arrow)
        label = "" if arrow.source is None else f' [label=" {times(graph.shape_of(arrow.tensor))}"]'
        lines.append(f"  {source} -> {target}{label};")
    return "\n".join([*lines, "}"]) + "\n"


def _box(place: Place, indent: str) -> Iterator[str]:
    box, title = place.box, inner_name(place.box, place.around)
    copies = (f" {box.block}" if box.block and title else "") + (f" × {len(box.copies)}" if box.copies else "")
    if isinstance(box, Card):
        rows = [f"{node.op.op_name} {details(node.op)}".strip() for node in box.layers]
        label = "\n".join([f"{title}{copies}", *rows] if title else rows)
        kind = kind_of(box.layers[0].op)
        colours = f'fillcolor="{LIGHT.kinds[kind]}", color="{LIGHT.marks[kind]}"'
        yield f"{indent}b{place.number} [label={_quoted(label)}, {colours}];"
    elif not place.is_open:
        label = f"{title}{copies}\n{layer_count(box)}"
        yield f"{indent}b{place.number} [label={_quoted(label)}, peripheries={2 if box.copies else 1}];"
    else:
        yield f"{indent}subgraph cluster_{place.number} {{"
        yield f'{indent}  label={_quoted(f"{title}{copies}")}; labeljust=l; style="rounded,filled";'
        yield f'{indent}  fillcolor="{LIGHT.group}"; fontsize=11;'
        for child in place.inside:
            yield from _box(child, f"{indent}  ")
        yield f"{indent}}}"


def _quoted(text: str) -> str:
    """A text as DOT writes it, its line breaks as they are centred."""
    plain = "".join(letter if letter.isprintable() or letter == "\n" else "\ufffd" for letter in text)
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
