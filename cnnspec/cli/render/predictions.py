"""Predictions as lines of text, one image at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from cnnspec.cli.render.foreign import csv_line, json_text, visible

if TYPE_CHECKING:
    from cnnspec.api import Prediction

__all__ = ["FORMATS", "lines"]

FORMATS: Final = ("table", "json", "csv")
_PLACES: Final = {1: "1st", 2: "2nd", 3: "3rd"}


def lines(predictions: Iterable[Prediction], form: str, top: int, *, ahead: int = 1) -> Iterator[str]:
    """The lines for `predictions`; those of the first batch, of `ahead` images, make the table's first column."""
    if form == "table":
        yield from _table(iter(predictions), top, ahead)
        return
    if form == "csv":
        places = range(1, top + 1)
        yield csv_line(["image", *(f"{kind}_{place}" for place in places for kind in ("class", "probability"))])
    for prediction in predictions:
        guesses = prediction.top(top)
        if form == "json":
            listed = [{"class": each.label, "index": each.index, "probability": each.probability} for each in guesses]
            yield json_text({"image": prediction.source, "top": listed})
        else:
            cells = (cell for each in guesses for cell in (each.label, f"{each.probability:.6f}"))
            yield csv_line([prediction.source, *cells])


def _table(predictions: Iterator[Prediction], top: int, ahead: int) -> Iterator[str]:
    first = list(islice(predictions, ahead))
    if not first:
        return
    label = min(24, max(len(visible(name)) for name in first[0].classes))
    widest = max(5, *(len(visible(prediction.source)) for prediction in first))
    heads = (f"{_PLACES.get(place, f'{place}th'):{label + 9}}" for place in range(1, top + 1))
    yield f"{'image':{widest}}  {'  '.join(heads)}".rstrip()
    for prediction in chain(first, predictions):
        cells = (f"{visible(each.label)[:label]:{label}}  {each.probability:7.2%}" for each in prediction.top(top))
        yield f"{visible(prediction.source):{widest}}  {'  '.join(cells)}"
