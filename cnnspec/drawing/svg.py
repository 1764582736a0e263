"""Pictures as SVG: one file, no script, nothing from elsewhere, light or dark as the reader's system is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Final

from cnnspec.drawing.palette import DARK, FONT, LIGHT, SIZES, Palette
from cnnspec.drawing.picture import Line, Picture, Rectangle, Text

__all__ = ["to_svg"]

_NO_TEXT: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|[\u202a-\u202e\u2066-\u2069]")


def to_svg(picture: Picture) -> str:
    """The picture as the text of an SVG file."""
    width, height = round(picture.width), round(picture.height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' role="img" aria-label="{_said(picture.name)}">',
        f"<title>{_said(picture.name)}</title>",
        f"<style>{_style()}</style>",
        '<defs><marker id="end" viewBox="0 0 8 8" refX="7.4" refY="4" markerWidth="8" markerHeight="8"'
        ' markerUnits="userSpaceOnUse" orient="auto"><path class="head" d="M0 0.6 L7.4 4 L0 7.4 Z"/></marker></defs>',
        f'<rect class="paper" width="{width}" height="{height}"/>',
        *_shapes(picture),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _shapes(picture: Picture) -> Iterator[str]:
    for shape in picture.shapes:
        match shape:
            case Rectangle():
                place = f'x="{_number(shape.x)}" y="{_number(shape.y)}"'
                size = f'width="{_number(shape.width)}" height="{_number(shape.height)}" rx="{_number(shape.radius)}"'
                inside = f"><title>{_said(shape.title)}</title></rect>" if shape.title else "/>"
                yield f'<rect class="{shape.style}" {place} {size}{inside}'
            case Text():
                middle = f' text-anchor="{shape.anchor}"' if shape.anchor != "start" else ""
                place = f'x="{_number(shape.x)}" y="{_number(shape.y)}"'
                yield f'<text class="{shape.style}" {place}{middle}>{_said(shape.text)}</text>'
            case Line():
                end = ' marker-end="url(#end)"' if shape.arrow else ""
                yield f'<path class="edge" d="{_path(shape)}"{end}/>'


def _path(line: Line) -> str:
    start, *rest = line.points
    words = [f"M{_number(start.x)} {_number(start.y)}"]
    for point in rest:
        if abs(point.x - start.x) < 0.05:
            words.append(f"V{_number(point.y)}")
        else:
            middle = _number((start.y + point.y) / 2)
            words.append(
                f"C{_number(start.x)} {middle} {_number(point.x)} {middle} {_number(point.x)} {_number(point.y)}"
            )
        start = point
    return "".join(words)


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _said(text: str) -> str:
    """A text from others, without what no XML may hold and what turns the direction of writing."""
    return escape(_NO_TEXT.sub("\ufffd", text))


def _style() -> str:
    texts = "".join(
        f".{style}{{font-size:{size}px{';font-weight:600' if bold else ''}}}" for style, (size, bold) in SIZES.items()
    )
    return (
        f"text{{font-family:{FONT};font-size:12px}}.edge{{fill:none;stroke-width:1.3}}"
        ".shape,.group,.block{paint-order:stroke;stroke-width:4px;stroke-linejoin:round}.open,.closed,.card,.copy,.pill{stroke-width:1}"
        f"{texts}{_colours(LIGHT)}@media (prefers-color-scheme:dark){{{_colours(DARK)}}}"
    )


def _colours(palette: Palette) -> str:
    rules = {
        ".paper": f"fill:{palette.paper}",
        "text": f"fill:{palette.ink}",
        ".about,.block,.details,.layers,.shape,.pill": f"fill:{palette.muted}",
        ".shape": f"stroke:{palette.paper}",
        ".group,.block": f"stroke:{palette.group}",
        ".edge": f"stroke:{palette.line}",
        ".head": f"fill:{palette.line}",
        ".open": f"fill:{palette.group};stroke:{palette.border}",
        "rect.closed,rect.card,rect.pill": f"fill:{palette.paper};stroke:{palette.border}",
        ".copy": f"fill:{palette.group};stroke:{palette.border}",
        "rect.badge": f"fill:{palette.badge}",
        **{f".kind-{kind}": f"fill:{colour}" for kind, colour in palette.kinds.items()},
        **{f".mark-{kind}": f"fill:{colour}" for kind, colour in palette.marks.items()},
    }
    return "".join(f"{selector}{{{rule}}}" for selector, rule in rules.items())
