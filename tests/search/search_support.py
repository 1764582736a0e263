"""A small network to search over, and what tests of searches share."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import cnnspec
from cnnspec.search.folder import SearchFolder, SearchPlan
from cnnspec.search.screen import screen
from cnnspec.search.trials import Machine
from cnnspec.search.work import Worker
from cnnspec.training.config import resolve_config
from cnnspec.training.shared import Shared

SPEC: Final = """\
cnnspec: 1
name: small
input: [1, 8, 8]
params: {width: 4, kernel: 3, act: ReLU, unused: 0}
train: {batch_size: 256, threads: 1, channels_last: false, rotate: 0.0, shift: 0}
layers:
  conv: Conv2d(width, kernel)
  act: act
  flatten: Flatten
  fc: Linear(10)
# what varies
search:
  space: {width: {int: [2, 16], step: 2}, kernel: [1, 3, 5], act: [ReLU, SiLU], train.lr: {log: [0.01, 0.2]}}
  limits: {params: 3k, macs: 20k, field: ">= 3"}
  trials: 3
  epochs: 3
"""
FINITE: Final = SPEC.replace(", train.lr: {log: [0.01, 0.2]}", "")


def plan_of(text: str = SPEC, **options: object) -> SearchPlan:
    """The plan of a spec's own section."""
    spec = cnnspec.loads(text, purpose="train")
    section = spec.source.document.search
    assert section is not None
    train = spec.source.document.header.train
    config = resolve_config(("spec", train), ("search", {"epochs": section.epochs}), ("options", options))
    return SearchPlan(spec, section, config)


class Heard:
    """Keeps what a search says."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.trials: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def step(self, trial: str, done: float) -> None:
        pass

    def trial(self, record: object, standing: object, left: object) -> None:
        self.trials.append(str(getattr(record, "name", "")))


def worker_of(folder: Path, plan: SearchPlan, heard: Heard | None = None, shared: Shared | None = None) -> Worker:
    """One that works on a plan in a folder, as a process of its own would."""
    place = SearchFolder(folder)
    if not place.begun:
        place.write(plan)
    return Worker(
        place,
        plan,
        Machine("digits", 1, "cpu"),
        screen(plan.network, plan.section),
        shared or Shared(),
        heard or Heard(),
    )
