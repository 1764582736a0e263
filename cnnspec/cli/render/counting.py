"""A count of what went by, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO, TypeVar

__all__ = ["counted"]

Item = TypeVar("Item")


def counted(items: Iterable[Item], what: str, stream: TextIO) -> Iterator[Item]:
    """The same items, with their number and speed shown on `stream` where that is a terminal."""
    if not stream.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn(f"{{task.completed:,.0f}} {what}"), TimeElapsedColumn()
    with Progress(*columns, console=Console(file=stream), transient=True, refresh_per_second=4) as bar:
        task = bar.add_task("", total=None)
        for item in items:
            yield item
            bar.advance(task)
