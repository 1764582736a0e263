"""Steps recorded as a CUDA graph do what they do unrecorded. Only the last test here needs a GPU."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import run
from torch import Tensor, nn

from cnnspec.data.sets import Images
from cnnspec.torch_backend import read_weights
from cnnspec.training.config import TrainConfig
from cnnspec.training.graphed import GraphedSteps, why_not_graphed

CPU = torch.device("cpu")
ROWS, RATES = torch.arange(3).view(1, 3), torch.zeros(1)
IMAGES = Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))


class Stream:
    """Stands for a CUDA stream where there is none."""

    def wait_stream(self, other: Any) -> None:
        pass


class Recorded:
    """Stands for a CUDA graph: replaying calls the step with the tensors that it was recorded with."""

    of: GraphedSteps

    def replay(self) -> None:
        self.of.losses.copy_(self.of.steps(self.of.rows, self.of.numbers, self.of.rates))


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """CUDA's streams and graphs replaced. The list notes what happens inside a recording."""
    inside = [False]

    @contextmanager
    def graph(made: Recorded, stream: Any) -> Iterator[None]:
        inside[0] = True
        yield
        inside[0] = False

    for name, stand_in in {
        "Stream": lambda device: Stream(),
        "current_stream": Stream,
        "set_stream": lambda stream: None,
        "stream": lambda stream: nullcontext(),
        "CUDAGraph": Recorded,
        "get_sync_debug_mode": lambda: "default",
        "set_sync_debug_mode": lambda mode: None,
        "graph": graph,
    }.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return inside


def make(step: Any, told: list[str]) -> GraphedSteps:
    return GraphedSteps(step, (1, 3), nn.Linear(1, 1), torch.device("cpu"), told.append)


@pytest.mark.parametrize("augmented", [True, False])
def test_full_batches_are_replayed_from_the_fourth_on(recording: list[bool], augmented: bool) -> None:
    calls: list[str] = []

    def step(rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        calls.append("record" if recording[0] else "short" if rows.shape[1] < 3 else "run")
        return rows.sum() + rates + (0 if numbers is None else numbers.sum())

    graphed = Recorded.of = make(step, [])
    for first in range(6):
        for size in (3, 2):
            rows = torch.arange(first, first + size).view(1, -1)
            numbers = rows / 8 if augmented else torch.zeros(1, size)
            loss = graphed(rows, numbers if augmented else None, torch.tensor([first / 4]))
            assert loss == rows.sum() + numbers.sum() + first / 4
    assert calls == ["run", "short"] * 3 + ["record"] + ["run", "short"] * 3


def test_what_cannot_be_recorded_runs_as_it_is(recording: list[bool]) -> None:
    told: list[str] = []

    def step(rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        if recording[0]:
            recording[0] = False
            raise RuntimeError("operation not permitted when stream is capturing\nand more")
        return rows.sum().view(1)

    graphed = make(step, told)
    assert [int(graphed(ROWS, None, RATES)) for _ in range(6)] == [3] * 6
    assert told == ["steps are not recorded as a CUDA graph: operation not permitted when stream is capturing"]


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (ValueError("the first thing\nand more"), "the first thing"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "memory ran out"),
    ],
)
def test_the_reason_is_what_went_wrong_first(recording: list[bool], first: Exception, said: str) -> None:
    """The end of a broken recording fails too, as torch's does. Steps run as they are then, with that memory back."""
    told: list[str] = []

    def step(rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        if not recording[0]:
            return rows.sum().view(1)
        recording[0] = False
        try:
            raise first
        finally:
            raise RuntimeError("capture was invalidated")

    graphed = make(step, told)
    assert [int(graphed(ROWS, None, RATES)) for _ in range(5)] == [3] * 5
    assert told == [f"steps are not recorded as a CUDA graph: {said}"]


def test_a_step_that_waits_for_the_device_is_not_recorded(
    recording: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CUDA would warn of it in the step before the recorded one; other warnings are passed on."""
    told: list[str] = []
    mode = ["default"]

    def set_mode(new: str) -> None:
        mode[0] = new
        warnings.warn("Synchronization debug mode does not yet detect all synchronizing operations", stacklevel=1)

    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", set_mode)

    def step(rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        assert not recording[0]
        if mode[0] == "warn":
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
            warnings.warn("something else", stacklevel=1)
        return rows.sum().view(1)

    graphed = make(step, told)
    with pytest.warns(UserWarning, match="something else"):
        assert [int(graphed(ROWS, None, RATES)) for _ in range(6)] == [3] * 6
    assert mode == ["default"]
    (said,) = told
    assert said.startswith("steps are not recorded as a CUDA graph: a step waits for the device (test_graphed.py, line")


@pytest.mark.parametrize(
    ("options", "source", "processes", "reason"),
    [
        ({}, IMAGES, 1, None),
        ({"optimizer": "adam", "precision": "bf16", "ema": 0.9, "clip": 1.0}, IMAGES, 1, None),
        ({"cuda_graph": False}, IMAGES, 1, "switched off"),
        ({}, Images(IMAGES.images, IMAGES.targets, mapped=True), 1, "the images are streamed"),
        ({}, IMAGES, 2, "several processes"),
        ({"compile": True, "precision": "fp16"}, IMAGES, 1, None),
        ({"accumulate": 2}, IMAGES, 1, "batches in parts"),
        ({"mixup": 0.2}, IMAGES, 1, "mixup"),
    ],
)
def test_why_steps_are_not_recorded(
    options: dict[str, Any], source: Images, processes: int, reason: str | None
) -> None:
    assert why_not_graphed(TrainConfig(**options), source, CPU, processes) == reason


def test_images_that_stay_on_the_host_are_streamed() -> None:
    assert why_not_graphed(TrainConfig(), IMAGES, torch.device("cuda", 0), 1) == "the images are streamed"


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA device: recorded steps were not compared with plain ones"
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": "adam", "lr": 0.01, "rotate": 0.0, "shift": 0, "schedule": "cosine"},
        {"clip": 1.0, "ema": None, "erase": 0.5, "loss": "squared-error"},
    ],
)
def test_recorded_steps_equal_plain_ones(tmp_path: Path, options: dict[str, Any]) -> None:
    found = {}
    for recorded in (True, False):
        folder = tmp_path / str(recorded)
        run(folder, device="cuda", cuda_graph=recorded, **options)
        found[recorded] = read_weights(folder / "last.safetensors")
    for name, tensor in found[True].items():
        assert torch.allclose(tensor, found[False][name], rtol=1e-2, atol=1e-3), name
