"""A count of what went by, on a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TextIO, TypeVar

__all__ = ["counted"]

Item = TypeVar("Item")
STEP: Final = 64  # items between two updates, which take longer than some items


def counted(items: Iterable[Item], what: str, stream: TextIO) -> Iterator[Item]:
    """The same items, with their number and speed shown on `stream` where that is a terminal."""
    if not stream.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn(f"{{task.completed:,.0f}} {what}"), TimeElapsedColumn()
    console = Console(file=stream)
    with Progress(*columns, console=console, transient=True, refresh_per_second=4, redirect_stdout=False) as bar:
        task = bar.add_task("", total=None)
        for count, item in enumerate(items, 1):
            yield item
            if count % STEP == 0:
                bar.update(task, completed=count)
