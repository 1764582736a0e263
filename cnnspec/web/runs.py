"""The training runs beside the specs that are edited: listed and read as they are now, also while they go on."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cnnspec import api
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.pages.run_data import run_data
from cnnspec.tasks import FIGURES
from cnnspec.zoo import is_run

__all__ = ["Runs"]

RUNS: Final = "runs"
MOST_RUNS: Final = 500  # that are listed, the newest first
_CHANGING: Final = ("config.yaml", "metrics.jsonl", "result.json")


@dataclass
class Runs:
    """The runs of one folder. What was read is kept as long as its files stay as they are."""

    root: Path
    _read: dict[str, tuple[tuple[int, ...], dict[str, Any]]] = field(default_factory=dict)

    def listed(self) -> list[dict[str, Any]]:
        """All of them in short, the one that was written last first; `error` says why one cannot be read."""
        folder = self.root / RUNS
        if folder.is_symlink() or not folder.is_dir():
            return []
        paths = [path for path in folder.iterdir() if _is_plain(path.name) and not path.is_symlink()]
        found = [(_stamp(path), path) for path in paths if is_run(path)]
        found.sort(key=lambda pair: max(pair[0]), reverse=True)
        return [self._short(path.name) for _, path in found[:MOST_RUNS]]

    def _short(self, name: str) -> dict[str, Any]:
        try:
            run = self.read(name)
        except CnnspecError as error:
            return {"name": name, "error": error.message}
        best = None if run["best"] is None else run["metrics"][run["best"]]
        return {
            "name": name,
            "network": run["network"],
            "data": run["config"]["data"],
            "done": len(run["metrics"]),
            "epochs": run["epochs"],
            "figure": best and _figure_text(run, best),
            "loss": best and best.get("val_loss"),
            "is_finished": run["result"] is not None,
        }

    def read(self, name: str) -> dict[str, Any]:
        """What a run's page shows of it. Raises UsageError for what is no run here, CnnspecError for a damaged one."""
        path = self.root / RUNS / name
        if not _is_plain(name) or (self.root / RUNS).is_symlink() or path.is_symlink() or not path.is_dir():
            raise UsageError(f"`{name:.200}` is no run of this folder")
        stamp = _stamp(path)
        kept = self._read.get(name)
        if kept is not None and kept[0] == stamp:
            return kept[1]
        found = run_data(api.open_run(path))
        self._read[name] = stamp, found
        return found


def _figure_text(run: dict[str, Any], best: dict[str, Any]) -> str:
    """The figure that chooses the best epoch, as people read it."""
    key = run["figures"][0]["key"]
    return FIGURES[key].named(best[f"val_{key}"])


def _is_plain(name: str) -> bool:
    """Whether a name leads nowhere else, and is not hidden."""
    return bool(name) and not name.startswith(".") and not any(letter in name for letter in "/\\:\0")


def _stamp(path: Path) -> tuple[int, ...]:
    """When the files of a run were written last; a different one for what has changed."""
    stamp = []
    for name in _CHANGING:
        try:
            stamp.append((path / name).stat().st_mtime_ns)
        except OSError:
            stamp.append(0)
    return tuple(stamp)
