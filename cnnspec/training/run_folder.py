"""The folder of a training run: what is in it, who may write to it, and how to read it back.

    runs/<name>/
      spec.yaml           the spec, as it was read (spec.json where it was JSON)
      config.yaml         every option, resolved; `--config` takes it and reproduces the run
      environment.json    versions, machine, command line
      classes.json        the class names, in the order of the outputs
      metrics.jsonl       one line per epoch; results.csv is the same as a table
      best.safetensors    the weights of the best epoch, and last.safetensors those of the last
      manifest.json       digests of the weights
      result.json         the figures of the finished run
      curves.png, confusion.png   the latter of the test images, or without them of the validation images
      checkpoints/        what a resumed run continues from

Importing this module imports no torch.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import yaml

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import write_atomic
from cnnspec.graph import Graph
from cnnspec.spec import Source, parse_setting, read_file, read_spec
from cnnspec.spec.source import SourceError, plain, read_text
from cnnspec.training.config import TrainConfig, resolve_config

__all__ = [
    "BEST", "CHECKPOINTS", "LAST", "Run", "RunFolder", "best_fault", "best_weights", "is_run", "new_folder", "open_run",
    "read_config",
]  # fmt: skip

BEST: Final = "best.safetensors"
LAST: Final = "last.safetensors"
CHECKPOINTS: Final = "checkpoints"
_START: Final = (
    ".lock",
    "spec.yaml",
    "spec.json",
    "classes.json",
    "environment.json",
)  # what is there before config.yaml
_PRODUCTS: Final = (
    "spec.yaml", "spec.json", "config.yaml", "environment.json", "classes.json", "metrics.jsonl", "results.csv", BEST,
    LAST, "manifest.json", "result.json", "curves.png", "confusion.png", CHECKPOINTS, "tensorboard",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A run as its folder tells it: the network, how it was trained, and what came of it."""

    path: Path
    source: Source
    graph: Graph
    variant: str | None
    params: dict[str, str]
    config: TrainConfig
    classes: tuple[str, ...] = ()
    metrics: tuple[dict[str, Any], ...] = ()  # one per epoch
    result: dict[str, Any] | None = None  # None where the run has not finished

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.path.resolve().name

    @property
    def weights(self) -> Path:
        """The file of the best weights, its digest verified. Raises CnnspecError where there is none or it is bad."""
        return best_weights(self.path)


def best_weights(run: Path) -> Path:
    """The file of a run's best weights, its digest verified. Raises CnnspecError where there is none or it is bad."""
    path = run / BEST
    if not path.is_file():
        raise CnnspecError(f"{run} has no weights yet", hint=f"let it finish an epoch: `cnnspec train --resume {run}`")
    accepted = _read_json(run / "manifest.json", dict).get(BEST, {}).get("sha256", [])
    if digest_of(path) not in accepted:
        raise CnnspecError(
            f"{path} is not what the run wrote: its digest is not in manifest.json",
            hint=f"`cnnspec train --resume {run}` continues from a checkpoint",
        )
    return path


def best_fault(run: Path) -> str | None:
    """What is wrong with the best weights of a run, if anything."""
    try:
        best_weights(run)
    except CnnspecError as error:
        return error.message
    return None


def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether this is the folder of a run."""
    return (Path(path) / "config.yaml").is_file()


def open_run(path: str | os.PathLike[str], *, figures: bool = True) -> Run:
    """Read a run's folder; without `figures` only what it began with, which is all that continuing it needs.

    Raises UsageError where it is none, and CnnspecError where a file in it is damaged.
    """
    path = Path(path)
    if not is_run(path):
        what = (
            "is no run: it has no config.yaml"
            if path.is_dir()
            else "is no folder"
            if path.exists()
            else "does not exist"
        )
        near = next((near for near in (Path("runs") / path, path.parent) if is_run(near)), None)
        hint = f"did you mean {near}?" if near else "`cnnspec runs` lists the runs"
        raise UsageError(f"the run folder {path} {what}", hint=hint)
    spec, options = read_config(path / "config.yaml")
    source = read_spec(path / str(spec.get("file", "spec.yaml")))
    settings = {str(key): str(value) for key, value in (spec.get("set") or {}).items()}
    shape = spec.get("input")
    variant = spec.get("variant")
    graph = source.elaborate(
        variant=variant,
        params=dict(parse_setting(f"{key}={value}") for key, value in settings.items()),
        input_shape=tuple(shape) if shape else None,
    )
    config = resolve_config((str(path / "config.yaml"), options))
    begun = Run(path, source, graph, variant, settings, config)
    if not figures:
        return begun
    metrics: tuple[dict[str, Any], ...] = ()
    try:
        with suppress(FileNotFoundError):
            metrics = tuple(json.loads(line) for line in (path / "metrics.jsonl").read_text("utf-8").splitlines())
    except (OSError, ValueError) as error:
        raise CnnspecError(f"{path / 'metrics.jsonl'} is damaged: {error}") from None
    result = _read_json(path / "result.json", dict) if (path / "result.json").exists() else None
    classes = tuple(str(name) for name in _read_json(path / "classes.json", list))
    return replace(begun, classes=classes, metrics=metrics, result=result)


def read_config(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The sections `spec` and `train` of a configuration file; without sections all of it is `train`.

    Raises UsageError where the file cannot be read as that.
    """
    try:
        text = read_text(read_file(path), json=Path(path).suffix == ".json")
        if text.found:
            raise SourceError(*text.found)
    except SourceError as error:
        raise UsageError(f"{path} cannot be read as options: {error}") from None
    found = plain(text.value)
    if not isinstance(found, dict):
        raise UsageError(f"{path} is no mapping of options", hint="write `epochs: 20` and the like")
    if "train" not in found and "spec" not in found:
        return {}, found
    parts = found.get("spec") or {}, found.get("train") or {}
    if not all(isinstance(part, dict) for part in parts):
        raise UsageError(f"{path}: `spec` and `train` are mappings")
    return parts


def new_folder(runs: Path, name: str | None, spec_name: str, *, overwrite: bool) -> Path:
    """Where a new run goes: `runs/name`, or the first free of `runs/spec`, `runs/spec-2`, …

    Raises UsageError where a run of that name exists and is not to be overwritten.
    """
    if name is None:
        count = 1
        while (runs / (spec_name if count == 1 else f"{spec_name}-{count}")).exists():
            count += 1
        return runs / (spec_name if count == 1 else f"{spec_name}-{count}")
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise UsageError(f"`{name}` is no name for a run: letters, digits, `.`, `_` and `-`")
    folder = runs / name
    if folder.exists() and not overwrite and not _is_free(folder):
        raise _exists(folder)
    return folder


def _is_free(folder: Path) -> bool:
    """Whether there is nothing in a folder but what a run leaves that ended before it began."""
    return folder.is_dir() and all(path.name in _START or path.suffix == ".tmp" for path in folder.iterdir())


def _exists(folder: Path) -> UsageError:
    if not is_run(folder):
        return UsageError(f"{folder} exists, and is no run", hint="`--name` gives another name")
    hint = f"`--resume {folder}` continues it, `--overwrite` starts afresh, `--name` gives another name"
    return UsageError(f"{folder} exists", hint=hint)


class RunFolder:
    """The one writer of a run's folder. Everything in it is written atomically.

    As a context it lets go of the folder at the end, and tells errors that know no way out how the run continues.
    """

    def __init__(self, path: Path, *, write: bool = True) -> None:
        """Make the folder where it is not there, and take its lock. Raises UsageError where another has it.

        With `write` false nothing is made or locked: of several processes only the first writes.
        """
        self.path = path
        self._lock = -1
        if not write:
            return
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise CnnspecError(f"cannot write to {path}: {error.strerror or error}") from None
        try:
            import fcntl

            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
            os.register_at_fork(after_in_child=self.close)  # and not only when those that decode images have ended too
        except ImportError:
            pass  # there is no flock on Windows
        except OSError:
            os.close(self._lock)
            raise UsageError(
                f"another process is writing to {path}", hint="wait for it, or give this run another `--name`"
            ) from None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, CnnspecError) and error.hint is None and is_run(self.path):
            error.hint = f"when that is mended, `cnnspec train --resume {self.path}` continues"

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.path / CHECKPOINTS

    def start(
        self,
        source: Source,
        graph: Graph,
        variant: str | None,
        params: Mapping[str, str],
        config: TrainConfig,
        classes: Sequence[str],
        environment: Mapping[str, Any],
        *,
        overwrite: bool,
    ) -> None:
        """Take away what an earlier run left, and write what is known at the start.

        Raises UsageError where there is a run that is not to be overwritten: one that came while the data were read.
        """
        if is_run(self.path) and not overwrite:
            raise _exists(self.path)
        self.clear()
        name = "spec.json" if source.json else "spec.yaml"
        write_atomic(self.path / name, source.text)
        write_atomic(self.path / "classes.json", json.dumps(list(classes), ensure_ascii=False, indent=1) + "\n")
        write_atomic(self.path / "environment.json", json.dumps(dict(environment), indent=1) + "\n")
        self.write_config(source, graph, variant, params, config)  # last: with it the folder is a run

    def write_config(
        self, source: Source, graph: Graph, variant: str | None, params: Mapping[str, str], config: TrainConfig
    ) -> None:
        """What it takes to repeat the run, or to continue it."""
        spec: dict[str, Any] = {"file": "spec.json" if source.json else "spec.yaml", "input": list(graph.input_shape)}
        if variant:
            spec["variant"] = variant
        if params:
            spec["set"] = dict(params)
        document = {"spec": spec, "train": config.model_dump(mode="json")}
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None)
        path = self.path / "config.yaml"
        if not path.exists() or path.read_text("utf-8") != text:
            write_atomic(path, text, sync=True)

    def clear(self) -> None:
        """Take away what a run writes, and nothing else."""
        for name in ("config.yaml", *_PRODUCTS):  # config.yaml first: without it the folder is no run
            path = self.path / name
            try:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
            except OSError as error:
                raise CnnspecError(f"cannot clear {path}: {error.strerror or error}") from None
        for path in self.path.glob(".*.tmp"):
            path.unlink(missing_ok=True)

    def clear_result(self) -> None:
        """Take away the figures of a finished run: it goes on, because it is given more epochs."""
        if self._lock >= 0:
            (self.path / "result.json").unlink(missing_ok=True)

    def write_metrics(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        """All epochs so far."""
        write_atomic(self.path / "metrics.jsonl", "".join(json.dumps(dict(line)) + "\n" for line in metrics))
        if metrics:
            table = io.StringIO()
            writer = csv.DictWriter(table, list(metrics[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(metrics)
            write_atomic(self.path / "results.csv", table.getvalue())

    def write_result(self, result: Mapping[str, Any]) -> None:
        """The figures of the finished run."""
        write_atomic(self.path / "result.json", json.dumps(dict(result), indent=1) + "\n", sync=True)

    def write_weights(self, name: str, data: bytes, epoch: int) -> None:
        """Weights for people and for export.

        Their digest is noted before they take their name; the one before stays good until then.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.path / "manifest.json"
        found: dict[str, Any] = {}
        with suppress(CnnspecError):  # where it is absent or damaged, it is made anew
            found = _read_json(path, dict)
        before = found.get(name, {}).get("sha256", [])[:1]
        found[name] = {"sha256": [digest, *(old for old in before if old != digest)], "epoch": epoch}
        write_atomic(path, json.dumps(found, indent=1) + "\n", sync=True)
        write_atomic(self.path / name, data, sync=True)


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_json(path: Path, kind: type[Any]) -> Any:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise CnnspecError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, kind):
        raise CnnspecError(f"{path} is damaged: it holds no {kind.__name__}")
    return found
