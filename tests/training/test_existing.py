"""Starting, resuming, or either as the folder demands; ending early because a listener asks; what runs may share."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from run_states import final_state
from small_runs import OPTIONS, TEXT, job, run
from torch.utils.data import Dataset

import cnnspec
from cnnspec.api import EpochMetrics, Shared
from cnnspec.data.given import Given
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import write_atomic
from cnnspec.training import plan, start
from cnnspec.training.loop import train
from cnnspec.training.progress import Silent
from cnnspec.training.run_folder import open_run
from cnnspec.training.run_writer import RunFolder, reserve


class Until(Silent):
    """A listener that ends the run after an epoch."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.said: list[str] = []

    def message(self, text: str) -> None:
        self.said.append(text)

    def epoch(self, metrics: EpochMetrics) -> bool:
        return metrics.epoch == self.last


def test_a_listener_ends_a_run_after_an_epoch_and_it_can_go_on(tmp_path: Path) -> None:
    run(tmp_path / "whole")
    result = train(job(tmp_path / "run"), Until(2))
    assert result.epochs == 2
    assert result.test_images == 359
    stopped = open_run(tmp_path / "run")
    assert stopped.result is not None
    assert [epoch.epoch for epoch in stopped.metrics] == [1, 2]
    assert run(tmp_path / "run", resume=True).epochs == 3
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")


@pytest.mark.parametrize("torchrun", [False, True])
def test_resume_starts_or_continues_as_the_folder_demands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torchrun: bool
) -> None:
    if torchrun:
        monkeypatch.setenv("WORLD_SIZE", "1")
    options: dict[str, Any] = {**OPTIONS, "name": "a", "runs": tmp_path, "existing": "resume", "schedule": "constant"}
    spec = cnnspec.loads(TEXT)
    assert cnnspec.train(spec, **options | {"epochs": 1}).epochs == 1
    listener = Until(0)
    assert cnnspec.train(spec, progress=listener, **options | {"epochs": 3}).epochs == 3
    assert "continuing after 11 of 33 steps" in listener.said
    cnnspec.train(spec, **options | {"epochs": 3, "name": "b"})
    assert final_state(tmp_path / "a") == final_state(tmp_path / "b")
    assert cnnspec.train(spec, progress=listener, **options | {"epochs": 3}).epochs == 3
    assert listener.said[-1] == "all 33 steps are done"


def test_what_cannot_be_resumed_is_left_as_it_is(tmp_path: Path) -> None:
    options: dict[str, Any] = {**OPTIONS, "epochs": 1, "name": "a", "runs": tmp_path}
    cnnspec.train(cnnspec.loads(TEXT), **options)
    before = final_state(tmp_path / "a")
    with pytest.raises(UsageError, match="a exists, and is a run of another network"):
        cnnspec.train(cnnspec.loads(TEXT.replace("Conv2d(4", "Conv2d(5")), existing="resume", **options)
    with pytest.raises(CnnspecError, match=r"says `lr: 0\.3`, but the run began with 0\.2"):
        cnnspec.train(cnnspec.loads(TEXT), existing="resume", **options | {"lr": 0.3})
    with pytest.raises(UsageError, match="`existing` of `train` is to be 'refuse', 'overwrite' or 'resume'"):
        cnnspec.train(cnnspec.loads(TEXT), existing="replace", **options)  # type: ignore[arg-type]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="b exists, and is no run"):
        cnnspec.train(cnnspec.loads(TEXT), existing="resume", **options | {"name": "b"})
    assert final_state(tmp_path / "a") == before


def test_a_run_without_a_checkpoint_is_started_again(tmp_path: Path) -> None:
    options: dict[str, Any] = {**OPTIONS, "epochs": 1, "runs": tmp_path, "existing": "resume"}
    first = cnnspec.train(cnnspec.loads(TEXT), **options)
    assert first.run == str(tmp_path / "small")  # without a name it is the network's
    for path in (tmp_path / "small" / "checkpoints").iterdir():
        path.unlink()
    other = cnnspec.loads(TEXT.replace("Conv2d(4", "Conv2d(5"))
    assert cnnspec.train(other, **options).run == first.run
    assert open_run(first.run).graph.state_shapes()["conv.weight"][0] == 5


def test_runs_share_images_and_measurements_only_where_they_are_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"opened": 0, "measured": 0}
    open_data, pick_threads = start.open_data, plan.pick_threads

    def opening(*arguments: Any) -> Any:
        counts["opened"] += 1
        return open_data(*arguments)

    def measuring(*arguments: Any) -> Any:
        counts["measured"] += 1
        return pick_threads(*arguments)

    monkeypatch.setattr(start, "open_data", opening)
    monkeypatch.setattr(plan, "pick_threads", measuring)
    np.savez(
        tmp_path / "a.npz", x=np.random.default_rng(0).integers(0, 256, (200, 8, 8), np.uint8), y=np.arange(200) % 10
    )
    options: dict[str, Any] = {"data": str(tmp_path / "a.npz"), "batch_size": 20, "threads": 1, "channels_last": None}

    def go(name: str, shared: Shared | None, **others: Any) -> None:
        train(job(tmp_path / name, **options | others), None, shared)

    shared = Shared()
    go("a", shared, lr=0.1)
    go("b", shared, lr=0.2)
    assert counts == {"opened": 1, "measured": 1}
    go("c", shared, seed=1, batch_size=40)  # other rows for validation, and other batches
    assert counts == {"opened": 2, "measured": 2}
    go("d", None, lr=0.2, channels_last=open_run(tmp_path / "b").config.channels_last)
    assert counts["opened"] == 3
    assert final_state(tmp_path / "d") == final_state(tmp_path / "b")


def test_runs_without_a_name_that_start_together_get_one_each(tmp_path: Path) -> None:
    with ExitStack() as stack:
        names = [
            stack.enter_context(reserve(tmp_path / "runs", None, "small", existing="refuse")).name for _ in range(4)
        ]
    assert names == ["small", "small-2", "small-3", "small-4"]


def test_a_run_that_comes_to_nothing_leaves_no_folder(tmp_path: Path) -> None:
    for name in ("a", None):
        with pytest.raises(UsageError, match="no data set"):
            cnnspec.train(cnnspec.loads(TEXT), data="nothing", name=name, runs=tmp_path / "deep" / "runs")
    assert not list(tmp_path.iterdir())
    (tmp_path / "a").mkdir()
    with pytest.raises(UsageError, match="no data set"):
        cnnspec.train(cnnspec.loads(TEXT), data="nothing", name="a", runs=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


MOMENTS = [("os.access", 1), ("RunFolder._sweep", 1), *(("write_atomic", call) for call in (1, 2, 3, 4))]


@pytest.mark.parametrize("existing", ["refuse", "overwrite"])
@pytest.mark.parametrize("name", ["small", None])
@pytest.mark.parametrize(("moment", "call"), MOMENTS, ids=str)
def test_an_interrupt_before_the_run_has_begun_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str, call: int, name: str | None, existing: Any
) -> None:
    calls = 0

    def interrupt(*given: object, **options: object) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            monkeypatch.undo()
            raise KeyboardInterrupt
        real(*given, **options)

    place = f"cnnspec.training.run_writer.{moment}"
    real = write_atomic
    monkeypatch.setattr(place, interrupt)
    with pytest.raises(KeyboardInterrupt):
        cnnspec.train(cnnspec.loads(TEXT), name=name, runs=tmp_path / "deep" / "runs", existing=existing, **OPTIONS)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("existing", ["refuse", "overwrite"])
def test_an_interrupt_leaves_a_folder_that_was_there_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: Any
) -> None:
    def interrupt(folder: RunFolder, *given: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    (tmp_path / "small").mkdir()
    monkeypatch.setattr(RunFolder, "start", interrupt)
    with pytest.raises(KeyboardInterrupt):
        cnnspec.train(cnnspec.loads(TEXT), name="small", runs=tmp_path, existing=existing, **OPTIONS)
    assert list(tmp_path.rglob("*")) == [tmp_path / "small"]


def test_where_no_run_can_be_written_is_told_before_images_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("no images are needed for this")

    monkeypatch.setattr(start, "open_data", never)
    (tmp_path / "file").write_text("")
    for runs in (tmp_path / "file", tmp_path / "file" / "deep", tmp_path / ("x" * 300), tmp_path / "a\0b"):
        for name in ("a", None):
            with pytest.raises(CnnspecError, match="cannot write to"):
                cnnspec.train(cnnspec.loads(TEXT), runs=runs, name=name)
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(CnnspecError, match=r"cannot write to .*: Permission denied"):
        cnnspec.train(cnnspec.loads(TEXT), runs=tmp_path / "runs")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_a_killed_run_left_half_written_is_taken_away(tmp_path: Path) -> None:
    run(tmp_path / "a", epochs=1)
    left = [tmp_path / "a" / f".{name}.123-0a1b2c3d.tmp" for name in ("curves.png", "best.safetensors", "config.yaml")]
    for path in left:
        path.write_text("half")
    others = tmp_path / "a" / ".mistakes.png.123-0a1b2c3d.tmp"
    others.write_text("of somebody who scores the run at this moment")
    cnnspec.resume(tmp_path / "a")
    assert [path for path in (*left, others) if path.exists()] == [others]


class Varied(Dataset[Any]):
    """As with random transforms: each reading gives other images."""

    def __len__(self) -> int:
        return 200

    def __getitem__(self, row: int) -> tuple[np.ndarray[Any, Any], int]:
        return np.random.default_rng().random((1, 8, 8), np.float32), row % 10


def test_a_run_on_samples_that_vary_is_told_and_does_not_go_on(tmp_path: Path) -> None:
    progress = Until(1)
    begun = job(tmp_path / "run", given=Given(Varied()), batch_size=32)
    assert train(begun, progress).epochs == 1
    assert any("a run on them is not continued" in each for each in progress.said)
    with pytest.raises(CnnspecError, match="its data give other samples each time they are read"):
        run(tmp_path / "run", given=Given(Varied()), batch_size=32, resume=True)
