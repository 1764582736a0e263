"""What a full disk, a read-only folder, other processes and little memory do to a run: nothing is lost."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from run_states import final_state
from small_runs import OPTIONS, TEXT, run

import cnnspec
from cnnspec import interrupts
from cnnspec.cli import main
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.training import feed, keeper, loop, memory, signals
from cnnspec.training.run_folder import open_run
from cnnspec.training.signals import Interrupted

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a file system needs root"
)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this system lets nobody mount: {done.stderr.strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk))
    yield disk
    gc.collect()  # an error that a test keeps holds its frames, and with them files that are mapped
    subprocess.run(["umount", str(disk)], check=True)


@needs_root
@pytest.mark.parametrize("steps", [range(0, 20, 7), pytest.param(range(20), marks=pytest.mark.long)])
def test_a_full_disk_loses_nothing(small_disk: Path, tmp_path: Path, steps: range) -> None:
    run(tmp_path / "whole")
    ended = {"full": 0, "whole": 0}
    for step in steps:
        filler = small_disk / "filler"
        free = 8 * 1024 * (step + 1)
        space = os.statvfs(small_disk)
        filler.write_bytes(bytes(max(0, space.f_bavail * space.f_frsize - free)))
        folder = small_disk / "run"
        try:
            run(folder, checkpoint_every=0.0)
            said = None
        except CnnspecError as error:
            said = error
        ended["full" if said else "whole"] += 1
        assert said is None or ("No space left on device" in said.message and said.exit_code == 1)
        assert not list(folder.rglob("*.tmp"))
        filler.unlink()
        begun = (folder / "config.yaml").exists()
        run(folder, checkpoint_every=0.0, resume=begun)
        assert final_state(folder) == final_state(tmp_path / "whole")
        subprocess.run(["rm", "-r", str(folder)], check=True)
    assert ended["full"] > 0


@needs_root
def test_a_read_only_folder_is_said_at_once_and_can_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path / "runs" / "before", epochs=1)
    mount("--bind", str(tmp_path / "runs"), str(tmp_path / "runs"))
    try:
        mount("-o", "remount,ro,bind", str(tmp_path / "runs"))
        for name, resume in (("a", False), ("before", True)):
            with pytest.raises(CnnspecError, match="Read-only file system"):
                run(tmp_path / "runs" / name, resume=resume)
        with pytest.raises(SystemExit) as caught:
            main(["eval", str(tmp_path / "runs" / "before")])
        assert caught.value.code == 0
        assert "on 359 test images" in capsys.readouterr().out
    finally:
        subprocess.run(["umount", str(tmp_path / "runs")], check=True)


def compete(folder: str, queue: Any) -> None:
    torch.set_num_threads(1)
    try:
        run(Path(folder), batch_size=32)
        queue.put("trained")
    except UsageError as error:
        queue.put(error.message)


@pytest.mark.parametrize("count", [2, pytest.param(8, marks=pytest.mark.long)])
def test_several_processes_on_one_folder(tmp_path: Path, count: int) -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    processes = [context.Process(target=compete, args=(str(tmp_path / "run"), queue)) for _ in range(count)]
    for process in processes:
        process.start()
    said = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert said.count("trained") == 1
    assert all("another process is writing" in text or "exists" in text for text in said if text != "trained")
    assert open_run(tmp_path / "run").result is not None


def test_a_run_that_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    run(tmp_path / "run", epochs=1)
    before = (tmp_path / "run" / "best.safetensors").read_bytes()
    with pytest.raises(UsageError, match="run exists"):
        run(tmp_path / "run", epochs=1, seed=5)
    assert (tmp_path / "run" / "best.safetensors").read_bytes() == before


@pytest.mark.parametrize("limit", [0, 1, 7, 64, 99])
def test_the_largest_batch_is_found(limit: int) -> None:
    assert memory.largest_batch(lambda size: size <= limit, 100) == limit


def test_out_of_memory_names_the_largest_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(loop, "_train", no_memory)
    monkeypatch.setattr(memory, "largest_batch", lambda fits, failed: 40 if fits(1) else 0)
    with pytest.raises(CnnspecError, match="batches of 128 images; the largest that fits is about 40") as caught:
        run(tmp_path / "run")
    assert caught.value.hint is not None
    assert "--accumulate 4" in caught.value.hint


def test_a_process_that_decodes_images_and_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("DataLoader worker (pid 3) is killed by signal: Bus error. It is possible that\nmore")

    monkeypatch.setattr(feed, "batches", killed)
    with pytest.raises(CnnspecError, match="a process that decodes images has ended: DataLoader worker") as caught:
        run(tmp_path / "run")
    assert f"--resume {tmp_path / 'run'}" in str(caught.value.hint)


def test_an_allocation_that_the_system_refuses_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert memory.is_out_of_memory(caught.value)
    assert memory.is_out_of_memory(RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be …"))
    assert memory.is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate`"))
    assert not memory.is_out_of_memory(RuntimeError("shape mismatch"))


@pytest.mark.parametrize("saves", [17, 24])  # within an epoch, and after one, before its figures are written
def test_mixup_and_tensorboard_and_a_cut_off_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saves: int) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    options: dict[str, Any] = {"mixup": 0.4, "tensorboard": True, "erase": 0.2, "flip": True}
    run(tmp_path / "whole", **options)
    save = keeper.save_checkpoint
    count = 0

    def saving(*arguments: Any) -> Path:
        nonlocal count
        count += 1
        found = save(*arguments)
        if count == saves:
            raise KeyboardInterrupt
        return found

    monkeypatch.setattr(keeper, "save_checkpoint", saving)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "run", checkpoint_every=0.0, **options)
    run(tmp_path / "run", resume=True, **options)
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for name in ("whole", "run"):
        events = EventAccumulator(str(tmp_path / name / "tensorboard"))
        events.Reload()
        assert [event.step for event in events.Scalars("val_loss")] == [11, 22, 33]


def test_a_run_whose_best_weights_are_damaged_says_so(tmp_path: Path) -> None:
    run(tmp_path / "run", epochs=1)
    best = tmp_path / "run" / "best.safetensors"
    data = bytearray(best.read_bytes())
    data[-1] ^= 1
    best.write_bytes(data)
    with pytest.raises(CnnspecError, match="is not what the run wrote"):
        _ = open_run(tmp_path / "run").weights
    assert cnnspec.api.resume(tmp_path / "run").epochs == 1
    assert open_run(tmp_path / "run").weights.is_file()


def test_best_weights_of_an_older_epoch_that_are_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper, "merit", lambda metrics: -metrics.epoch)  # the first epoch is the best
    stop_after(20, monkeypatch)  # within the second
    with pytest.raises(Interrupted):
        run(tmp_path / "run", checkpoint_every=0.0)
    best = tmp_path / "run" / "best.safetensors"
    best.write_bytes(best.read_bytes()[:-1] + b"x")
    assert run(tmp_path / "run", resume=True).best_epoch == 2
    best.write_bytes(b"")
    assert run(tmp_path / "run", resume=True).best_epoch == 3
    assert open_run(tmp_path / "run").weights.is_file()


@pytest.mark.parametrize("name", ["metrics.jsonl", "results.csv", "manifest.json", "classes.json", "best.safetensors"])
def test_a_run_goes_on_whatever_has_become_of_its_products(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    stop_after(20, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", checkpoint_every=0.0)
    (tmp_path / "run" / name).write_bytes(b"\xff{")
    assert cnnspec.api.resume(tmp_path / "run").epochs == 3


def test_damaged_figures_are_said_to_be(tmp_path: Path) -> None:
    run(tmp_path / "run", epochs=1)
    (tmp_path / "run" / "metrics.jsonl").write_bytes(b"\xff{")
    with pytest.raises(CnnspecError, match=r"metrics\.jsonl is damaged"):
        open_run(tmp_path / "run")


def test_what_a_run_leaves_that_could_not_begin_is_in_nobodys_way(tmp_path: Path) -> None:
    options: dict[str, Any] = {"epochs": 1, "batch_size": 512, "threads": 1, "device": "cpu", "runs": tmp_path}
    spec = cnnspec.loads(TEXT)
    for name in (".lock", "spec.yaml", ".classes.json.1-2.tmp"):
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / name).touch()
    assert cnnspec.api.train(spec, name="a", **options).epochs == 1
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.txt").touch()
    with pytest.raises(UsageError, match="b exists, and is no run"):
        cnnspec.api.train(spec, name="b", **options)


def test_a_run_that_a_full_disk_ended_says_how_it_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> Path:
        raise CnnspecError("cannot write: No space left on device")

    monkeypatch.setattr(keeper, "save_checkpoint", full)
    with pytest.raises(CnnspecError, match="No space left") as caught:
        run(tmp_path / "run")
    assert caught.value.hint == f"when that is mended, `cnnspec train --resume {tmp_path / 'run'}` continues"


def test_the_run_that_was_meant_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "runs" / "a", epochs=1)
    assert open_run("a").path == Path("runs/a")
    (tmp_path / "a").mkdir()  # a path that exists beats a name
    for said, what in (("a", "is no run"), ("runs/a/config.yaml", "is no folder")):
        with pytest.raises(UsageError, match=f"the run folder {said} {what}") as caught:
            open_run(said)
        assert caught.value.hint == "did you mean runs/a?"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """A clock that stands; where it stands is the only item. Handlers of signals are put back."""
    now = [100.0]
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(interrupts.time, "monotonic", lambda: now[0])
    yield now
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def codes(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The process is a command. The exit codes with which it would have left at once."""
    codes: list[int] = []
    monkeypatch.setattr(interrupts, "leave_at_once", codes.append)
    monkeypatch.setattr(interrupts, "handler", interrupts.Handler())
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupts.handler)
    return codes


def test_one_signal_ends_a_command_and_a_second_one_does_not_wait(clock: list[float], codes: list[int]) -> None:
    with pytest.raises(interrupts.Stopped) as caught:
        signal.raise_signal(signal.SIGTERM)
    assert caught.value.exit_code == 143
    signal.raise_signal(signal.SIGTERM)  # a launcher sends its own after that of the terminal
    signal.raise_signal(signal.SIGINT)
    assert not codes
    clock[0] += 4
    signal.raise_signal(signal.SIGINT)
    assert codes == [130]


def test_a_second_signal_ends_a_command_that_trains(clock: list[float], codes: list[int]) -> None:
    with signals.Signals() as noted:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert (noted.received, codes) == (signal.SIGTERM, [])
        clock[0] += 4
        signal.raise_signal(signal.SIGTERM)
        assert codes == [143]
    signal.raise_signal(signal.SIGINT)  # while what was saved is told
    assert codes == [143, 130]


def test_a_second_signal_interrupts_a_program_that_trains(clock: list[float]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with signals.Signals() as noted:
        signal.raise_signal(signal.SIGINT)
        assert noted.received == signal.SIGINT
        clock[0] += 4
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def stop_after(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the next run after so many saves."""
    save = keeper.snapshot
    saved = 0

    def saving(*arguments: Any) -> Path:
        nonlocal saved
        saved += 1
        if saved == count:
            signal.raise_signal(signal.SIGINT)
        return save(*arguments)

    monkeypatch.setattr(keeper, "snapshot", saving)


def test_a_run_goes_on_without_the_weights_that_it_began_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "first", epochs=1)
    weights = tmp_path / "first" / "best.safetensors"
    options: dict[str, Any] = {"weights": str(weights), "reset": ("fc",)}
    run(tmp_path / "whole", **options)
    stop_after(5, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", checkpoint_every=0.0, **options)
    weights.unlink()
    run(tmp_path / "run", resume=True, **options)
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")


def test_a_run_does_not_go_on_with_other_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (400, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=images, y=np.arange(400) % 10)
    options: dict[str, Any] = {"data": str(tmp_path / "a.npz"), "batch_size": 32}
    stop_after(5, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", checkpoint_every=0.0, **options)
    for others, labels in ((images[:300], np.arange(300) % 10), (255 - images, np.arange(400) % 10)):
        np.savez(tmp_path / "a.npz", x=others, y=labels)
        with pytest.raises(CnnspecError, match=r"other images or labels than .* began with"):
            run(tmp_path / "run", resume=True, **options)


def test_a_run_does_not_go_on_with_another_spec_or_other_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(5, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", checkpoint_every=0.0)
    for part, old, new, message in (
        ("spec.yaml", "Conv2d(4, 3)", "Conv2d(5, 3)", "the spec in .* is not the one that the run began with"),
        ("spec.yaml", "ReLU", "Tanh", "the spec in .* is not the one that the run began with"),
        ("config.yaml", "batch_size: 128", "batch_size: 64", "`batch_size: 64`, but the run began with 128"),
        ("config.yaml", "optimizer: sgd", "optimizer: adam", "`optimizer: adam`, but the run began with sgd"),
        ("config.yaml", "ema: 0.9", "ema: null", "`ema: None`, but the run began with 0.9"),
    ):
        path = tmp_path / "run" / part
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(CnnspecError, match=message):
            cnnspec.api.resume(tmp_path / "run")
        path.write_text(text)
    path = tmp_path / "run" / "config.yaml"
    for epochs in (4, 5):
        path.write_text(path.read_text().replace(f"epochs: {epochs - 1}", f"epochs: {epochs}"))
        assert cnnspec.api.resume(tmp_path / "run").epochs == epochs
    path.write_text(path.read_text().replace("epochs: 5", "epochs: 6"))
    stop_after(1, monkeypatch)
    with pytest.raises(Interrupted):
        cnnspec.api.resume(tmp_path / "run", checkpoint_every=0.0)
    assert open_run(tmp_path / "run").result is None  # it has begun again


def test_streamed_images_give_the_same_run_and_leave_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    for label in "abcdefghij":
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(10):
            image = Image.fromarray(rng.integers(0, 256, (9, 11), dtype=np.uint8))
            image.save(tmp_path / "set" / label / f"{i}.png")
    options: dict[str, Any] = {"data": str(tmp_path / "set"), "batch_size": 8, "epochs": 2, "mixup": 0.3}
    run(tmp_path / "whole", **options)
    stop_after(5, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", checkpoint_every=0.0, loading="streaming", **options)
    gc.collect()
    assert not multiprocessing.active_children()
    run(tmp_path / "run", resume=True, loading="streaming", **options)
    assert final_state(tmp_path / "run") == final_state(tmp_path / "whole")


def test_a_finished_run_goes_on_for_more_epochs(tmp_path: Path) -> None:
    first = cnnspec.train(cnnspec.loads(TEXT), runs=tmp_path, name="run", **OPTIONS | {"epochs": 2})
    more = cnnspec.resume(first.run, epochs=4)
    assert (first.epochs, more.epochs) == (2, 4)
    assert open_run(first.run).config.epochs == 4
    assert [epoch.epoch for epoch in open_run(first.run).metrics] == [1, 2, 3, 4]
    assert cnnspec.resume(first.run, epochs=3).epochs == 4  # nothing is taken back
