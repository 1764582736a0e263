"""Writing a run's folder: where it goes, who may write to it, and every file of it but the checkpoints.

Importing this module imports no torch.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import itertools
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Final

import yaml

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import write_atomic
from cnnspec.tasks import CLASSES, Answers
from cnnspec.training.config import TrainConfig
from cnnspec.training.job import Existing, Job, TrainResult
from cnnspec.training.metrics import EpochMetrics
from cnnspec.training.run_files import ANSWERS, CHECKPOINTS, check_links
from cnnspec.training.run_folder import PICTURES, START, DataPlace, is_run, network_files, read_config
from cnnspec.training.run_weights import BEST, LAST, WeightsRecord, read_manifest

__all__ = ["RunFolder", "reserve"]

LOCK: Final = ".lock"
_START: Final = (
    LOCK,
    START,
    "spec.yaml",
    "spec.json",
    "classes.json",
    ANSWERS,
    "environment.json",
)  # what is before config.yaml
_PRODUCTS: Final = (
    START, "spec.yaml", "spec.json", "config.yaml", "environment.json", "classes.json", "metrics.jsonl", "results.csv",
    BEST, LAST, "manifest.json", "result.json", "curves.png", *PICTURES, ANSWERS, CHECKPOINTS, "tensorboard",
)  # fmt: skip


@contextmanager
def reserve(runs: Path, name: str | None, spec_name: str, *, existing: Existing, write: bool = True) -> Iterator[Path]:
    """The folder where a run goes, made: `runs/name`; without a name, the first free of `runs/spec`, `runs/spec-2`, …

    What is to be resumed without a name is `runs/spec`. Nobody else has it then, and it is known before anything is
    worked out that it can be made; where nothing comes of the run, it is taken away again. With `write` false, as of
    several processes all but the first, it is not made.
    Raises UsageError where something of that name exists that is not to be overwritten or cannot be resumed, and
    CnnspecError where the system refuses the folder.
    """
    if name is None and existing == "resume":
        name = spec_name
    if name is not None and not re.fullmatch(r"[\w][\w.-]*", name):
        raise UsageError(f"`{name}` is no name for a run: letters, digits, `.`, `_` and `-`")
    folder = runs / (spec_name if name is None else name)
    made: list[Path] = []
    ready = False
    try:
        if name is not None:
            _check_name(folder, existing)
        if write:
            made = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder = _make_first_free(folder) if name is None else folder
            folder.mkdir(exist_ok=True)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        ready = True
        yield folder
    except BaseException as error:
        own = bool(made) or (write and ready and name is None)
        if write and ready:
            _take_back(folder, own=own)
        if own:
            _unmake([folder, *made[1:]])
        if not ready and isinstance(error, (OSError, ValueError)):
            raise CnnspecError(f"cannot write to {folder}: {getattr(error, 'strerror', error)}") from None
        raise


def _take_back(folder: Path, *, own: bool) -> None:
    """Take away what is there of a run that has not begun: of a folder that is not our own no more than the lock."""
    with suppress(CnnspecError, OSError), RunFolder(folder):
        there = list(folder.iterdir())
        if _is_free(folder) and (own or [path.name for path in there] == [LOCK]):
            for path in there:
                path.unlink()


def _make_first_free(folder: Path) -> Path:
    """Make the first of `folder`, `folder-2`, … that is not there: of several processes each gets its own."""
    for count in itertools.count(1):
        numbered = folder if count == 1 else folder.with_name(f"{folder.name}-{count}")
        with suppress(FileExistsError):
            numbered.mkdir()
            return numbered
    raise AssertionError


def _unmake(folders: Iterable[Path]) -> None:
    """Take away folders that are empty, innermost first."""
    with suppress(OSError, ValueError):
        for folder in folders:
            folder.rmdir()


def _check_name(folder: Path, existing: Existing) -> None:
    """Raise UsageError where a run cannot have this folder."""
    usable = existing == "overwrite" or (existing == "resume" and is_run(folder))
    if folder.exists() and not usable and not _is_free(folder):
        raise _exists(folder)


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
            check_links(path)
            self._lock = os.open(path / LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
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
        try:
            self._sweep()
        except BaseException:
            self.close()
            raise

    def _sweep(self) -> None:
        """Take away the half-written files of a process that was killed: nobody else writes here."""
        for path in self.path.glob(".*.tmp"):
            if path.name.startswith(tuple(f".{name}." for name in _PRODUCTS)):
                path.unlink(missing_ok=True)

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
        job: Job,
        config: TrainConfig,
        place: Path | None,
        classes: Sequence[str],
        environment: Mapping[str, object],
        answers: Answers = CLASSES,
        weights: Mapping[str, object] | None = None,
    ) -> None:
        """Take away what an earlier run left, and write what is known at the start; `config` is the settled one.

        `weights` says what was taken of those that it starts from, where it has any.

        Raises UsageError where there is a run that is not to be overwritten: one that came while the data were read.
        """
        if is_run(self.path) and job.existing != "overwrite":
            raise _exists(self.path)
        self.clear()
        file, text, _ = network_files(job.network)
        write_atomic(self.path / file, text)
        write_atomic(self.path / "classes.json", json.dumps(list(classes), ensure_ascii=False, indent=1) + "\n")
        self.write_answers(answers)
        write_atomic(self.path / "environment.json", json.dumps(dict(environment), indent=1) + "\n")
        if weights is not None:
            write_atomic(self.path / START, json.dumps(dict(weights), indent=1) + "\n")
        self.write_config(job, config, place)  # last: with it the folder is a run

    def write_config(self, job: Job, config: TrainConfig, place: Path | None) -> None:
        """What it takes to repeat the run, or to continue it; `place` is where its images lie."""
        path = self.path / "config.yaml"
        _, _, section = network_files(job.network)
        document = {"spec": section, "train": config.model_dump(mode="json")}
        if place is not None:
            known = read_config(path).data if path.exists() else {}
            here = DataPlace(path=str(place), recorded=date.today().isoformat()).model_dump()
            document["data"] = known if known.get("path") == str(place) else here
        text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None)
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

    def clear_result(self) -> None:
        """Take away the figures of a finished run: it goes on, because it is given more epochs."""
        if self._lock >= 0:
            (self.path / "result.json").unlink(missing_ok=True)

    def write_metrics(self, metrics: Sequence[EpochMetrics]) -> None:
        """All epochs so far."""
        lines = [epoch.model_dump() for epoch in metrics]
        write_atomic(self.path / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
        if lines:
            table = io.StringIO()
            columns = dict.fromkeys(key for line in lines for key in line)  # a run may gain figures on its way
            writer = csv.DictWriter(table, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(lines)
            write_atomic(self.path / "results.csv", table.getvalue())

    def write_answers(self, answers: Answers) -> None:
        """How the outputs are read; nothing where they are scores of classes, of which the most is the answer."""
        if answers != CLASSES:
            write_atomic(self.path / ANSWERS, json.dumps(answers.to_dict(), ensure_ascii=False, indent=1) + "\n")

    def write_result(self, result: TrainResult) -> None:
        """The figures of the finished run."""
        write_atomic(self.path / "result.json", json.dumps(result.to_dict(), indent=1) + "\n", sync=True)

    def write_weights(self, names: Sequence[str], data: bytes, epoch: int) -> None:
        """Weights for people and for export, under each of these names.

        Their digest is noted before they take a name; the one before stays good until then.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.path / "manifest.json"
        manifest: dict[str, WeightsRecord] = {}
        with suppress(CnnspecError):  # where it is absent or damaged, it is made anew
            manifest = read_manifest(path)
        for name in names:
            before = manifest.get(name, WeightsRecord()).sha256[:1]
            manifest[name] = WeightsRecord(sha256=(digest, *(old for old in before if old != digest)), epoch=epoch)
        plain = {name: record.model_dump(mode="json") for name, record in manifest.items()}
        write_atomic(path, json.dumps(plain, indent=1) + "\n", sync=True)
        for name in names:
            write_atomic(self.path / name, data, sync=True)
