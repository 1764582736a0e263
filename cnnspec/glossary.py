"""The words of tables and the keys of documents: what each figure is. One page has all of them, an entry each."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

__all__ = ["explain_term", "names_of", "page", "terms"]


def page() -> Path:
    """Where the page is: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).parent
    installed = here / "_glossary.md"
    return installed if installed.is_file() else here.parent / "docs" / "glossary.md"


@cache
def _entries() -> dict[str, str]:
    """Every entry by its title. The first line of its text has its other names."""
    parts = page().read_text("utf-8").split("\n## ")[1:]
    return {title: text.strip() for title, _, text in (part.partition("\n") for part in parts)}


@cache
def names_of() -> dict[str, tuple[str, ...]]:
    """The title of every entry, and the words and keys that it stands for."""
    return {title: tuple(re.findall("`([^`]+)`", text.partition("\n")[0])) for title, text in _entries().items()}


@cache
def terms() -> dict[str, str]:
    """Every word that can be asked for, and the title of its entry."""
    return {name: title for title, names in names_of().items() for name in (title, *names)}


def explain_term(word: str) -> str | None:
    """The entry for a word or key, as Markdown; None where there is none."""
    titles = {_plain(name): title for name, title in terms().items()}
    title = titles.get(_plain(word))
    if title is None:
        return None
    return f"# {title}\n\n" + re.sub(r"\[([^]]+)\]\(#[\w-]+\)", r"\1", _entries()[title])


def _plain(word: str) -> str:
    """Lower case, with blanks for what stands between words."""
    return " ".join(re.split(r"[\s_-]+", word.strip().lower()))
