"""The page of a search: its front, its trials across all that varies, and the table of them."""

from __future__ import annotations

from typing import Any

from cnnspec.drawing.page import with_data
from cnnspec.language.figures import FIGURES
from cnnspec.search.start import SearchResult

__all__ = ["search_data", "search_page"]


def search_data(result: SearchResult, cost: str | None = None) -> dict[str, Any]:
    """All that the page shows of a search, as plain data."""
    space, figure = result.plan.section.space, result.plan.figure
    told = result.to_dict(cost)
    records = {record.name: record for record in result.trials}
    for trial in told["trials"]:
        record = records[trial["trial"]]
        trial.update(score=record.score, test_score=record.test_score)
    return {
        **told,
        "name": result.path.name,
        "figure": {"title": figure.title, "share": figure.share},  # of the scores
        "units": {name: figure.unit for name, figure in FIGURES.items()},
        "logarithmic": [name for name, domain in space.items() if domain.kind == "log"],
    }


def search_page(result: SearchResult, cost: str | None = None) -> str:
    """The page as the text of an HTML file, which opens offline and asks for nothing."""
    return with_data(search_data(result, cost), "search")
