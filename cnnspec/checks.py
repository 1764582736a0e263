"""One thing that was checked, as it is told to people: what is written is proved first, whatever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Check", "unchecked"]


@dataclass(frozen=True)
class Check:
    """One thing that was checked, or that could not be: then `detail` says why, and nothing has failed."""

    name: str
    passed: bool
    detail: str
    figure: float | None = None
    checked: bool = True

    def __str__(self) -> str:
        """A line for people."""
        word = "FAILED" if not self.passed else "ok" if self.checked else "note"
        return f"{word:8} {self.name}: {self.detail}"

    def to_dict(self) -> dict[str, Any]:
        """The check as plain data."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__}


def unchecked(name: str, detail: str) -> Check:
    """The line of a report for what could not be checked."""
    return Check(name, True, detail, checked=False)
