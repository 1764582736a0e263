"""Predictions as lines of text, one image at a time, by what the network is for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import TYPE_CHECKING, Final

from cnnspec.cli.render.foreign import csv_line, json_text, visible

if TYPE_CHECKING:
    from cnnspec.api.terms import Answer

__all__ = ["FORMATS", "lines"]

FORMATS: Final = ("table", "json", "csv")
_PLACES: Final = {1: "1st", 2: "2nd", 3: "3rd"}


def lines(
    predictions: Iterable[Answer],
    form: str,
    top: int,
    *,
    columns: Sequence[str] = (),
    what: str = "image",
    ahead: int = 1,
) -> Iterator[str]:
    """The lines for `predictions`; those of the first batch, of `ahead` images, make the table's first column.

    `top` is how many classes a classifier tells of each, `columns` what other answers have, and `what` one is called.
    """
    from cnnspec.api import Prediction

    waiting = iter(predictions)
    first = list(islice(waiting, ahead))
    widest = label = 0
    if form == "csv":
        places = range(1, top + 1)
        ranked = [f"{kind}_{place}" for place in places for kind in ("class", "probability")]
        yield csv_line([what, *(columns or ranked)])
    elif form == "table" and first:
        widest = max(len(what), *(len(visible(each.source)) for each in first))
        label = min(24, max((len(visible(name)) for name in getattr(first[0], "classes", ())), default=0))
        heads = (f"{_PLACES.get(place, f'{place}th'):{label + 9}}" for place in range(1, top + 1))
        yield f"{what:{widest}}  {'  '.join(heads) if isinstance(first[0], Prediction) else first[0].head}".rstrip()
    for each in chain(first, waiting):
        if isinstance(each, Prediction):
            guesses = each.top(top)
            if form == "json":
                listed = [{"class": one.label, "index": one.index, "probability": one.probability} for one in guesses]
                yield json_text({what: each.source, "top": listed})
            elif form == "csv":
                cells = (cell for one in guesses for cell in (one.label, f"{one.probability:.6f}"))
                yield csv_line([each.source, *cells])
            else:
                cells = (f"{visible(one.label)[:label]:{label}}  {one.probability:7.2%}" for one in guesses)
                yield f"{visible(each.source):{widest}}  {'  '.join(cells)}"
        elif form == "json":
            yield json_text({what: each.source, **each.to_dict()})
        elif form == "csv":
            yield csv_line([each.source, *each.cells().values()])
        else:
            yield f"{visible(each.source):{widest}}  {visible(each.summary)}"
