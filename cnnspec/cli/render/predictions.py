"""Predictions as lines of text, one image at a time."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from cnnspec.runtime.predictor import Prediction

__all__ = ["FORMATS", "lines"]

FORMATS: Final = ("table", "json", "csv")
_PLACES: Final = {1: "1st", 2: "2nd", 3: "3rd"}


def lines(predictions: Iterable[Prediction], form: str, top: int, *, widest: int) -> Iterator[str]:
    """The lines for `predictions`; `widest` is a guess at the longest name, for the table's first column."""
    places = range(1, top + 1)
    if form == "csv":
        yield _csv(["image", *(f"{kind}_{place}" for place in places for kind in ("class", "probability"))])
    label = 0
    for prediction in predictions:
        guesses = prediction.top(top)
        if form == "json":
            listed = [{"class": each.label, "index": each.index, "probability": each.probability} for each in guesses]
            yield json.dumps({"image": prediction.source, "top": listed}, ensure_ascii=False)
        elif form == "csv":
            cells = (cell for each in guesses for cell in (each.label, f"{each.probability:.6f}"))
            yield _csv([prediction.source, *cells])
        else:
            if not label:
                label = min(24, max(map(len, prediction.classes)))
                widest = max(widest, len(prediction.source))
                heads = (f"{_PLACES.get(place, f'{place}th'):{label + 9}}" for place in places)
                yield f"{'image':{widest}}  {'  '.join(heads)}".rstrip()
            cells = (f"{each.label[:label]:{label}}  {each.probability:7.2%}" for each in guesses)
            yield f"{prediction.source:{widest}}  {'  '.join(cells)}"


def _csv(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
