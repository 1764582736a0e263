"""Everything that the page about data shows is run, in its order, in an empty folder."""

from __future__ import annotations

import re
import shlex
import tarfile
import wave
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from cnnspec.cli import main

TEXT = (Path(__file__).parents[2] / "docs" / "data.md").read_text("utf-8")
BLOCKS = re.findall(r"```(python|console)\n(.*?)```", TEXT, re.DOTALL)
HEAD = "cnnspec: 1\nname: {name}\ninput: {shape}\ntrain: {{batch_size: 8, threads: 1, channels_last: false}}\nlayers:\n"
TAIL = "  - ReLU\n  - {pool}(1)\n  - Flatten\n  - Linear({classes})\n"
SPECS = {
    "small": ("[2, 16, 16]", "  - Conv2d(8, 3)\n", "AdaptiveAvgPool2d", 4),
    "photos": ("{shape: [3, 16, 16], fit: crop}", "  - Conv2d(4, 3)\n", "AdaptiveAvgPool2d", 2),
    "tones": ("{shape: [1, 800], rate: 8000}", "  - Conv1d(4, 9)\n", "AdaptiveAvgPool1d", 2),
}


def furnish(folder: Path) -> None:
    for name, (shape, first, pool, classes) in SPECS.items():
        text = HEAD.format(name=name, shape=shape) + first + TAIL.format(pool=pool, classes=classes)
        (folder / f"{name}.yaml").write_text(text)
    rng = np.random.default_rng(0)
    (folder / "arrays").mkdir()
    for label in ("cat", "dog"):
        for kind in ("photos", "tones"):
            (folder / kind / label).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(rng.integers(0, 256, (40, 30, 3), np.uint8)).save(
                folder / "photos" / label / f"{number}.jpg"
            )
            with wave.open(str(folder / "tones" / label / f"{number}.wav"), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(rng.integers(-9999, 9999, 2000, np.int16).tobytes())
    with zipfile.ZipFile(folder / "photos.zip", "w") as archive:
        for path in sorted((folder / "photos").rglob("*.jpg")):
            archive.write(path, path.relative_to(folder))
    photos = sorted((folder / "photos").rglob("*.jpg"))
    (folder / "shards").mkdir()
    for shard in range(4):
        with tarfile.open(folder / "shards" / f"photos-{shard:03}.tar", "w") as tar:
            for number, path in enumerate(photos[shard::4]):
                tar.add(path, f"{number:05}.jpg")
                (folder / "class.txt").write_text(path.parent.name)
                tar.add(folder / "class.txt", f"{number:05}.cls")
    (folder / "parquet").mkdir()
    rows = {
        "image": [{"bytes": path.read_bytes(), "path": path.name} for path in photos],
        "label": [int(path.parent.name == "dog") for path in photos],
    }
    parquet.write_table(pyarrow.table(rows), folder / "parquet" / "train-00000-of-00001.parquet")


def test_every_block_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    names: dict[str, Any] = {}
    commands = 0
    for kind, block in BLOCKS:
        if kind == "python":
            exec(compile(block, "data.md", "exec"), names)
            continue
        for command in re.findall(r"^\$ cnnspec (.*)$", block, re.MULTILINE):
            with pytest.raises(SystemExit) as end:
                main([*shlex.split(command), "--workers", "0"])
            assert end.value.code == 0, command
            commands += 1
    assert commands == 8
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {
        "arrays", "rows", "stream", "npz", "npy", "tones", "zip", "photos", "wide", "shards", "parquet",
    }  # fmt: skip
