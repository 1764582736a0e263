"""Checkpoints: written so that a power cut at any moment leaves a good one, and verified before they are read.

A checkpoint is one file, `<serial>-<digest>.pt`: its name holds the first half of its SHA-256, so the rename that makes
it visible makes its digest visible too. `latest` names the newest, and is written only after it. Two are kept.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, NotRequired, Self, cast

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from cnnspec.errors import CnnspecError
from cnnspec.files import write_atomic
from cnnspec.training.counters import CountersRecord
from cnnspec.training.learner import LearnerState
from cnnspec.training.metrics import EpochMetrics
from cnnspec.training.plan import Origin
from cnnspec.training.run_files import Natural

__all__ = ["RunState", "check_content", "load_checkpoint", "save_checkpoint", "snapshot"]

FORMAT: Final = 1  # of what is saved; the next one is for a state that this program could not go on from
KEPT: Final = 2
POINTER: Final = "latest"
_NAME: Final = re.compile(r"(\d{9})-([0-9a-f]{32})\.pt")


class _Counters(BaseModel):
    """The counters in a checkpoint, as `Counters.record` gave them."""

    epoch: Natural
    position: Natural
    step: Natural
    first_step: Natural
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    best: EpochMetrics | None
    history: list[EpochMetrics]

    @model_validator(mode="after")
    def _agree(self) -> Self:
        known = [metrics.epoch for metrics in self.history]
        if known != [*range(1, self.epoch + 1)] or (self.best is not None and self.best.epoch not in known):
            raise ValueError("its epochs are not those that it counts")
        return self


class _Origin(BaseModel):
    images: str
    spec: str
    options: dict[str, Any]


class _Saved(BaseModel):
    """What a checkpoint has to hold for a run to go on; whether it fits the network is seen by who loads it."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    counters: _Counters
    origin: _Origin
    losses: Tensor
    model: dict[str, Tensor]
    averaged: dict[str, Tensor] | None
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    random: dict[str, Tensor]
    right: Tensor | None = None


class RunState(LearnerState):
    """What a checkpoint holds: everything that the rest of a run depends on."""

    counters: CountersRecord
    origin: Origin
    losses: Tensor  # of the running epoch's steps, over all processes
    right: NotRequired[Tensor]  # images of the running epoch that were recognised, over all processes


def check_content(state: RunState) -> None:
    """Raise ValueError unless a state that was read has all that a run goes on from, each of its kind."""
    try:
        _Saved.model_validate(state)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


def snapshot(state: RunState) -> RunState:
    """A copy of `state` in this machine's memory, which does not change while training goes on."""
    return cast(RunState, _copied(state))


def _copied(value: object) -> object:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, dict):
        return {key: _copied(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_copied(each) for each in value)
    return value


def save_checkpoint(folder: Path, state: RunState) -> Path:
    """Write `state`, tensors and plain values, as the newest checkpoint. Raises CnnspecError where it cannot."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise CnnspecError(f"cannot write {folder}: {error.strerror or error}") from error
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **state}, buffer)
    data = buffer.getbuffer()
    earlier = _checkpoints(folder)
    serial = 1 + max((int(path.name[:9]) for path in earlier), default=0)
    path = folder / f"{serial:09d}-{hashlib.sha256(data).hexdigest()[:32]}.pt"
    write_atomic(path, bytes(data), sync=True)
    write_atomic(folder / POINTER, path.name + "\n", sync=True)
    for old in earlier[KEPT - 1 :]:
        old.unlink(missing_ok=True)
    for leaving in folder.glob(".*.tmp"):  # of a process that was killed: the lock says that nobody else writes here
        leaving.unlink(missing_ok=True)
    return path


def load_checkpoint(folder: Path, report: Callable[[str], None]) -> RunState | None:
    """The newest checkpoint whose digest is right, or None where there is none at all.

    A bad one is reported and the one before it used. Raises CnnspecError where there are some and all are bad, or where
    another version of cnnspec wrote it.
    """
    checkpoints = _checkpoints(folder)
    for path in checkpoints:
        try:
            data = path.read_bytes()
        except OSError as error:
            report(f"checkpoint {path.name} cannot be read: {error.strerror}; using the one before it")
            continue
        if hashlib.sha256(data).hexdigest()[:32] != path.stem.partition("-")[2]:
            report(f"checkpoint {path.name} is damaged: its digest is wrong; using the one before it")
            continue
        try:
            state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception as error:  # torch's and pickle's have no common base
            reason = str(error).strip().splitlines()[:1]
            report(f"checkpoint {path.name} is damaged: {' '.join(reason):.200}; using the one before it")
            continue
        if not isinstance(state, dict) or state.pop("format", None) != FORMAT:
            raise CnnspecError(
                f"{path} was written by another version of cnnspec",
                hint="finish the run with that version, or start it again with `--overwrite`",
            )
        return cast(RunState, state)
    if checkpoints:
        raise CnnspecError(f"every checkpoint in {folder} is damaged", hint="start the run again with `--overwrite`")
    return None


def _checkpoints(folder: Path) -> list[Path]:
    """The checkpoints that are there, newest first."""
    return sorted((path for path in folder.glob("*.pt") if _NAME.fullmatch(path.name)), reverse=True)
