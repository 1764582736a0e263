"""A checkpoint is whole or it is not used."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import job

from cnnspec.errors import CnnspecError
from cnnspec.training import checkpoint, loop
from cnnspec.training.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.training.progress import Silent

FLIPS, TRUNCATIONS = 200, 100


def state(step: int) -> dict[str, Any]:
    return {"counters": {"step": step}, "model": {"w": torch.full((40,), float(step))}}


def fill(folder: Path) -> tuple[Path, Path]:
    return save_checkpoint(folder, state(1)), save_checkpoint(folder, state(2))


def test_two_are_kept_and_the_newest_is_read(tmp_path: Path) -> None:
    for step in range(5):
        save_checkpoint(tmp_path, state(step))
    assert len(list(tmp_path.glob("*.pt"))) == 2
    found = load_checkpoint(tmp_path, print)
    assert found is not None
    assert found["counters"] == {"step": 4}
    assert torch.equal(found["model"]["w"], torch.full((40,), 4.0))
    assert (tmp_path / "latest").read_text().strip() == max(path.name for path in tmp_path.glob("*.pt"))


def test_none_at_all(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path / "absent", print) is None


def harm_flips(count: int, path: Path, good: bytes, rng: random.Random) -> Any:
    for _ in range(count):
        at = rng.randrange(len(good) * 8)
        yield good[: at // 8] + bytes([good[at // 8] ^ (1 << at % 8)]) + good[at // 8 + 1 :]


def harm_truncations(count: int, path: Path, good: bytes, rng: random.Random) -> Any:
    for _ in range(count):
        yield good[: rng.randrange(len(good))]


@pytest.mark.parametrize(
    ("harm", "count"),
    [
        (harm_flips, FLIPS),
        (harm_truncations, TRUNCATIONS),
        pytest.param(harm_flips, 2000, marks=pytest.mark.long),
        pytest.param(harm_truncations, 1000, marks=pytest.mark.long),
    ],
)
def test_every_damage_is_seen_and_the_one_before_is_used(tmp_path: Path, harm: Any, count: int) -> None:
    _, newest = fill(tmp_path)
    good = newest.read_bytes()
    seen = 0
    for data in harm(count, newest, good, random.Random(1)):
        newest.write_bytes(data)
        said: list[str] = []
        found = load_checkpoint(tmp_path, said.append)
        assert found is not None
        assert found["counters"] == {"step": 1}
        assert newest.name in said[0]
        seen += 1
    assert seen == count


def test_torch_alone_would_not_have_seen_most_of_them(tmp_path: Path) -> None:
    _, newest = fill(tmp_path)
    good = newest.read_bytes()
    taken = 0
    for data in harm_flips(50, newest, good, random.Random(2)):
        newest.write_bytes(data)
        try:
            torch.load(newest, weights_only=True)
            taken += 1
        except Exception:
            continue
    assert taken > 0


def test_when_all_are_bad_it_says_so(tmp_path: Path) -> None:
    for path in fill(tmp_path):
        path.write_bytes(b"")
    with pytest.raises(CnnspecError, match=r"every checkpoint .* is damaged"):
        load_checkpoint(tmp_path, lambda text: None)


def test_a_state_of_another_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "FORMAT", 0)
    save_checkpoint(tmp_path, state(1))
    monkeypatch.undo()
    with pytest.raises(CnnspecError, match="another version of cnnspec") as caught:
        load_checkpoint(tmp_path, print)
    assert caught.value.hint is not None


def test_a_failing_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    before = sorted(path.name for path in tmp_path.iterdir())

    def full(self: Path, data: bytes) -> int:
        with open(self, "wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CnnspecError, match="No space left on device"):
        save_checkpoint(tmp_path, state(3))
    monkeypatch.undo()
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    found = load_checkpoint(tmp_path, print)
    assert found is not None
    assert found["counters"] == {"step": 2}


def test_a_better_epoch_waits_for_the_disk_ten_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File and folder of the checkpoint, its pointer, the manifest, and the weights under two names."""
    fsync, waits = os.fsync, list[int]()

    def counting(file: int) -> None:
        waits.append(file)
        fsync(file)

    monkeypatch.setattr(os, "fsync", counting)
    loop.train(job(tmp_path / "a", epochs=1), Silent())
    assert len(waits) == 2 + 10 + 2  # config.yaml came first, result.json last
