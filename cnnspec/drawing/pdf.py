"""Pictures as PDF, and as PNG made of that."""

from __future__ import annotations

import io
from typing import Any, Final

from cnnspec.drawing.palette import LIGHT, SIZES
from cnnspec.drawing.picture import Line, Picture, Rectangle, Text
from cnnspec.errors import needs_extra

__all__ = ["to_pdf", "to_png"]

SCALE: Final = 2.0  # pixels of a PNG for one of the picture
MOST_PIXELS: Final = 60_000_000  # of a PNG: what is larger is drawn smaller
HEAD: Final = 7.4  # the length of an arrow's head
_PALE: Final = frozenset({"about", "block", "details", "layers", "shape", "pill"})


@needs_extra("draw")
def to_pdf(picture: Picture) -> bytes:
    """The picture as a PDF of one page, in light colours. Raises MissingExtraError without the extra `draw`."""
    from reportlab.pdfgen.canvas import Canvas

    data = io.BytesIO()
    canvas = Canvas(data, pagesize=(picture.width, picture.height), invariant=True)
    canvas.setTitle(_latin(picture.name))
    for shape in picture.shapes:
        _draw(canvas, shape, picture.height)
    canvas.showPage()
    canvas.save()
    return data.getvalue()


@needs_extra("draw")
def to_png(picture: Picture) -> bytes:
    """The picture as a PNG with twice its size in pixels. Raises MissingExtraError without the extra `draw`."""
    import pypdfium2

    scale = min(SCALE, (MOST_PIXELS / (picture.width * picture.height)) ** 0.5)
    data = io.BytesIO()
    document = pypdfium2.PdfDocument(to_pdf(picture))
    document[0].render(scale=scale).to_pil().save(data, "png", optimize=True)
    document.close()
    return data.getvalue()


def _draw(canvas: Any, shape: Rectangle | Line | Text, height: float) -> None:
    """Draw one shape; PDF counts from below."""
    match shape:
        case Rectangle():
            ground, border = _rectangle_colours(shape.style)
            canvas.setFillColor(ground)
            if border is not None:
                canvas.setStrokeColor(border)
                canvas.setLineWidth(1)
            place = shape.x, height - shape.y - shape.height, shape.width, shape.height
            canvas.roundRect(*place, shape.radius, stroke=int(border is not None), fill=1)
        case Text():
            size, bold = SIZES[shape.style]
            canvas.setFont("Helvetica-Bold" if bold else "Helvetica", size)
            canvas.setFillColor(LIGHT.muted if shape.style in _PALE else LIGHT.ink)
            draw = {"start": canvas.drawString, "middle": canvas.drawCentredString, "end": canvas.drawRightString}
            draw[shape.anchor](shape.x, height - shape.y, _latin(shape.text))
        case Line():
            canvas.setStrokeColor(LIGHT.line)
            canvas.setLineWidth(1.3)
            canvas.drawPath(_path(canvas, shape, height), stroke=1, fill=0)
            if shape.arrow:
                canvas.setFillColor(LIGHT.line)
                canvas.drawPath(_head(canvas, shape, height), stroke=0, fill=1)


def _path(canvas: Any, line: Line, height: float) -> Any:
    path = canvas.beginPath()
    start, *rest = line.points
    path.moveTo(start.x, height - start.y)
    for point in rest:
        middle = height - (start.y + point.y) / 2
        path.curveTo(start.x, middle, point.x, middle, point.x, height - point.y)
        start = point
    return path


def _head(canvas: Any, line: Line, height: float) -> Any:
    """The triangle at a line's end, which comes from above or, where it goes back, from below."""
    before, end = line.points[-2:]
    back = -HEAD if before.y <= end.y else HEAD
    path = canvas.beginPath()
    path.moveTo(end.x, height - end.y)
    path.lineTo(end.x - 3.4, height - end.y - back)
    path.lineTo(end.x + 3.4, height - end.y - back)
    path.close()
    return path


def _rectangle_colours(style: str) -> tuple[str, str | None]:
    """Ground and border."""
    part, _, kind = style.partition("-")
    if part == "kind":
        return LIGHT.kinds[kind], None
    if part == "mark":
        return LIGHT.marks[kind], None
    if part == "badge":
        return LIGHT.badge, None
    return LIGHT.group if part in ("open", "copy") else LIGHT.paper, LIGHT.border


def _latin(text: str) -> str:
    """The text in the letters that the fonts of every PDF reader have."""
    return (
        "".join(letter if letter.isprintable() else "?" for letter in text).encode("cp1252", "replace").decode("cp1252")
    )
