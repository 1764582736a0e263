"""Why a network answers so, as a picture: images with Grad-CAM and occlusion maps for their most probable classes."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from cnnspec.errors import CnnspecError, MissingExtraError
from cnnspec.exporting.in_torch import why_not_compared
from cnnspec.images import NCHW_TO_NHWC, normalize
from cnnspec.pages.why import GRID, GradCam, Why, occlusion, seen_last
from cnnspec.runtime.answers import Prediction
from cnnspec.runtime.files import open_model
from cnnspec.runtime.predictor import Predictor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MOST", "Answer", "answers", "sheet"]

MOST: Final = 25  # images on one sheet
_SIDE: Final = 160  # pixels of the longer side of a picture
_GAP: Final = 12
_TEXT: Final = 15  # height of a line
_SPEAKS: Final = (255, 72, 40)  # where the class is seen
_AGAINST: Final = (40, 110, 220)  # what covering makes it more probable
_STRENGTH: Final = 210  # of 255: what is most is not quite opaque


@dataclass(frozen=True)
class Answer:
    """An image as the network sees it, `(H, W, C)` bytes, what it says of it, and why."""

    pixels: NDArray[np.uint8]
    prediction: Prediction
    why: Why


def answers(
    predictor: Predictor,
    images: Iterable[str | bytes],
    *,
    classes: int,
    on_error: Callable[[CnnspecError], None],
    report: Callable[[str], None] = lambda text: None,
) -> list[Answer]:
    """What an exported network says of up to 25 images, with maps for its most probable classes.

    A bad image goes to `on_error`. Grad-CAM needs torch, and weights that are in the file as they were trained; without
    them `report` says so, and there is occlusion alone.
    """
    cam = _grad_cam(predictor, report)
    about = predictor.metadata
    found: list[Answer] = []
    for source in images:
        if len(found) == MOST:
            report(f"the first {MOST} images are drawn")
            break
        try:
            pixels = predictor.pixels(source)
        except CnnspecError as error:
            on_error(error)
            continue
        name = "-" if isinstance(source, bytes) else source
        prediction = Prediction(name, predictor.probabilities(pixels[None])[0], predictor.classes)
        asked = tuple(guess.index for guess in prediction.top(classes))
        maps = cam(normalize(pixels[None], about.mean, about.std)[0], asked) if cam is not None else None
        covered = occlusion(
            lambda batch: predictor.probabilities(batch.transpose(NCHW_TO_NHWC).round().astype(np.uint8)),
            pixels.transpose(2, 0, 1).astype(np.float32),
            asked,
            GRID,
        )
        found.append(Answer(pixels, prediction, Why(asked, maps, covered)))
    return found


def _grad_cam(predictor: Predictor, report: Callable[[str], None]) -> GradCam | None:
    import onnx

    from cnnspec.onnx_backend.recover import recover_weights

    about = predictor.metadata
    graph = about.network().graph
    layer = seen_last(graph)
    if layer is None:
        report("without Grad-CAM: no layer through which all goes has units with a place in the image")
        return None
    missing: MissingExtraError | None = why_not_compared()
    if missing is not None:
        report(f"without Grad-CAM: {missing.message} ({missing.hint})")
        return None
    try:
        model = onnx.load_model_from_string(open_model(predictor.path).data)
        return GradCam(graph, recover_weights(model, graph, folded=about.folded), layer)
    except CnnspecError as error:
        report(f"without Grad-CAM: {error.message}")
        return None


def sheet(found: Sequence[Answer]) -> bytes:
    """The answers as a PNG, one row for each image."""
    font = ImageFont.load_default(12)
    rows = [_row(answer) for answer in found]
    width = max(sum(picture.width + _GAP for _, picture in row) for row in rows) + _GAP
    height = sum(max(picture.height for _, picture in row) + 2 * _TEXT + 2 * _GAP for row in rows)
    whole = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(whole)
    top = _GAP
    for row in rows:
        left = _GAP
        for words, picture in row:
            whole.paste(picture, (left, top))
            for line, text in enumerate(words):
                place = (left, top + picture.height + 2 + line * _TEXT)
                pen.text(
                    place, _fitting(text, picture.width, font), fill="black" if line == 0 else "dimgray", font=font
                )
            left += picture.width + _GAP
        top += max(picture.height for _, picture in row) + 2 * _TEXT + 2 * _GAP
    target = io.BytesIO()
    whole.save(target, "PNG")
    return target.getvalue()


def _row(answer: Answer) -> list[tuple[tuple[str, str], Image.Image]]:
    """The pictures of one image, with two lines of text for each."""
    pixels = answer.pixels
    plain = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    scale = _SIDE / max(plain.size)
    plain = plain.resize((round(plain.width * scale), round(plain.height * scale)), Image.Resampling.NEAREST)
    best = answer.prediction.top(1)[0]
    row = [((answer.prediction.source, f"{best.label}, {best.probability:.1%}"), plain)]
    for place, index in enumerate(answer.why.classes):
        label = f"{answer.prediction.classes[index]}, {answer.prediction.probabilities[index]:.1%}"
        for word, maps in (("Grad-CAM", answer.why.cam), ("occlusion", answer.why.occlusion)):
            if maps is not None:
                row.append(((label, word), _over(plain, maps[place])))
    return row


def _over(picture: Image.Image, values: NDArray[np.float32]) -> Image.Image:
    """A picture under a map: red where it is more than nothing, blue where it is less."""
    full = float(np.abs(values).max())
    share = np.abs(values) / full if full > 1e-6 else np.zeros_like(values)
    heat = np.where((values < 0)[..., None], _AGAINST, _SPEAKS)
    colours = Image.fromarray(heat.astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    strength = Image.fromarray((share * _STRENGTH).round().astype(np.uint8))
    return Image.composite(colours, picture, strength.resize(picture.size, Image.Resampling.BILINEAR))


def _fitting(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """The end of a text that is too wide."""
    while len(text) > 2 and font.getlength(text) > width:
        text = "…" + text[2:]
    return text
