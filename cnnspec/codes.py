"""The pages that explain the codes of errors and warnings, one file each."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean

__all__ = ["codes", "explain_code", "folder"]


def folder() -> Path:
    """Where the pages are: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).parent
    installed = here / "_codes"
    return installed if installed.is_dir() else here.parent / "docs" / "codes"


@cache
def codes() -> dict[str, str]:
    """Every code, and what it means in a few words: the title of its page."""
    titles = {}
    for path in sorted(folder().glob("*.md")):
        with path.open(encoding="utf-8") as file:
            titles[path.stem] = file.readline().removeprefix(f"# {path.stem}:").strip()
    return titles


def explain_code(code: str) -> str:
    """The page of a code, as Markdown. Raises UsageError where there is no such code."""
    name = code.upper()
    if name not in codes():
        hint = did_you_mean(name, codes()) or "`cnnspec explain` lists all codes"
        raise UsageError(f"there is no code `{code}`", hint=hint)
    return (folder() / f"{name}.md").read_text("utf-8")
