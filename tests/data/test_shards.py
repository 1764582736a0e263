"""Data sets in shards: `.tar` as webdataset has them and `.parquet` as `datasets` of Hugging Face writes them."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

import cnnspec
from cnnspec.data.open import open_data
from cnnspec.data.parquet import ParquetRows
from cnnspec.data.sets import DataSet, Drawn, Images, OpenOptions
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.training.run_folder import open_run

SPEC = """
cnnspec: 1
name: small
input: [3, 6, 6]
{more}
layers: ["Conv2d(4, 3)", ReLU, AdaptiveAvgPool2d(1), Flatten, Linear({out})]
"""
COUNT = 40
RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (COUNT, 6, 6, 3), np.uint8)


def network(more: str = "", out: int = 4) -> cnnspec.Spec:
    return cnnspec.loads(SPEC.format(more=more, out=out))


def opened(name: str, spec: cnnspec.Spec | None = None, **options: Any) -> DataSet:
    chosen = {"folder": Path("unused"), "report": lambda text: None, **options}
    return open_data(name, (spec or network()).graph, OpenOptions(**chosen))


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


def write_tar(path: str, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def pairs(rows: range, end: str = "cls", taught: Any = lambda row: str(row % 4)) -> dict[str, bytes]:
    files = {}
    for row in rows:
        files[f"{row:05}.png"] = png(PIXELS[row])
        files[f"{row:05}.{end}"] = taught(row).encode()
    return files


def write_parquet(path: str, rows: range, names: list[str] | None = None, group: int = 7, **more: Any) -> None:
    images = [{"bytes": png(PIXELS[row]), "path": f"{row}.png"} for row in rows]
    table = pyarrow.table({"image": images, "label": [row % 4 for row in rows], **more})
    if names is not None:
        label = {"names": names, "_type": "ClassLabel"}
        about = {"info": {"features": {"image": {"_type": "Image"}, "label": label}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    parquet.write_table(table, path, row_group_size=group)


@pytest.fixture(autouse=True)
def shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tar").mkdir()
    for shard in range(4):
        write_tar(f"tar/shard-{shard:03}.tar", pairs(range(10 * shard, 10 * shard + 10)))
    Path("repository/data").mkdir(parents=True)
    Path("repository/README.md").write_text("data")
    names = ["ant", "bee", "cat", "dog"]
    for split, rows in (("train-00000-of-00002", range(20)), ("train-00001-of-00002", range(20, 32))):
        write_parquet(f"repository/data/{split}.parquet", rows, names)
    write_parquet("repository/data/validation-00000-of-00001.parquet", range(32, 36), names)
    write_parquet("repository/data/test-00000-of-00001.parquet", range(36, 40), names)


def all_of(data: DataSet) -> np.ndarray:
    return np.stack([data.train.read(row).numpy() for row in range(len(data.train))])


@pytest.mark.parametrize("memory", [2**30, 0], ids=["in memory", "streamed"])
@pytest.mark.parametrize("name", ["tar/shard-{000..003}.tar", "tar/shard-*.tar", "tar"])
def test_tar_shards_are_read_in_their_order(name: str, memory: int) -> None:
    data = opened(name, memory=memory)
    assert isinstance(data.train, Images if memory else Drawn)
    assert np.array_equal(all_of(data), PIXELS.transpose(0, 3, 1, 2))
    assert data.train.targets.tolist() == [row % 4 for row in range(COUNT)]
    assert data.contents == opened("tar").contents


@pytest.mark.parametrize("memory", [2**30, 0], ids=["in memory", "streamed"])
def test_a_repository_of_parquet_has_its_splits_and_its_classes(memory: int) -> None:
    data = opened("repository", memory=memory)
    assert data.classes == ("ant", "bee", "cat", "dog")
    assert (len(data.train), len(data.val), len(data.test or ())) == (32, 4, 4)
    assert np.array_equal(all_of(data), PIXELS[:32].transpose(0, 3, 1, 2))
    assert np.array_equal(data.val.read(1).numpy(), PIXELS[33].transpose(2, 0, 1))
    assert data.val.targets.tolist() == [0, 1, 2, 3]
    single = opened("repository/data/train-{00000..00001}-of-00002.parquet")
    assert single.contents.split()[0] == data.contents.split()[0]


def test_rows_of_parquet_are_found_in_any_order_and_by_other_processes() -> None:
    rows = ParquetRows(sorted(Path("repository/data").glob("train-*.parquet")))
    other = pickle.loads(pickle.dumps(rows))
    for row in np.random.default_rng(1).permutation(32).tolist():
        wanted = {"image": png(PIXELS[row]), "label": row % 4}
        assert rows[row] == other[row] == wanted
    assert len(rows.kept) <= 4


def test_grey_images_that_are_read_anew_are_the_caller_s_own() -> None:
    files = {f"{row}.png": png(PIXELS[row, :, :, 0]) for row in range(8)}
    write_tar("grey.tar", files | {f"{row}.cls": str(row % 2).encode() for row in range(8)})
    spec = cnnspec.loads("cnnspec: 1\nname: s\ninput: [1, 6, 6]\nlayers: [Flatten, Linear(2)]\n")
    data = opened("grey.tar", spec, memory=0)
    assert np.array_equal(data.train.read(3).add_(1).numpy()[0], PIXELS[3, :, :, 0] + 1)


def test_a_single_shard_is_told_from_an_archive_of_folders() -> None:
    write_tar("single.tar", pairs(range(20)))
    assert len(opened("single.tar").train) == 20
    files = {f"{name}/{row}.png": png(PIXELS[row]) for name in "abcd" for row in range(3)}
    write_tar("folders.tar", files)
    assert opened("folders.tar").classes == ("a", "b", "c", "d")


def test_classes_may_be_named_and_other_tasks_have_lists() -> None:
    write_tar("named.tar", pairs(range(20), taught=lambda row: "abcd"[row % 4]))
    assert opened("named.tar").classes == ("a", "b", "c", "d")
    Path("numbers").mkdir()
    write_tar("numbers/a.tar", pairs(range(20), "json", lambda row: json.dumps([row, row / 2])))
    numbers = opened("numbers", network("task: regression", 2))
    assert numbers.train.targets[3].tolist() == [3, 1.5]
    write_tar("numbers/a.tar", pairs(range(20), "json", lambda row: json.dumps([row % 2, 1 - row % 2, 1, 0])))
    assert opened("numbers", network("task: multi-label")).train.targets[2].tolist() == [0, 1, 1, 0]


def test_sounds_lie_in_shards_too() -> None:
    files = {}
    for row in range(20):
        sound = io.BytesIO()
        with wave.open(sound, "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(np.full(30, 1000 * row, "<i2").tobytes())
        files |= {f"{row}.wav": sound.getvalue(), f"{row}.cls": str(row % 2).encode()}
    write_tar("sounds.tar", files)
    spec = cnnspec.loads("cnnspec: 1\nname: s\ninput: [1, 30]\nlayers: [Flatten, Linear(2)]\n")
    assert opened("sounds.tar", spec).train.read(4)[0, 0].item() == pytest.approx(4000 / 2**15)


@pytest.mark.parametrize("source", ["tar/shard-{000..003}.tar", "repository"])
def test_runs_on_shards_are_continued_from_another_folder(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: Any = {"batch_size": 8, "threads": 1, "device": "cpu", "progress": False, "loading": "streaming"}
    first = cnnspec.train(network(), data=source, epochs=1, name="cut", workers=0, **options)
    whole = cnnspec.train(network(), data=source, epochs=2, name="whole", workers=2, **options)
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert open_run(f"../{first.run}").locate_data() == str(tmp_path / source)
    second = cnnspec.resume(f"../{first.run}", epochs=2, progress=False)
    assert second.epochs == whole.epochs == 2
    assert second.test_images == whole.test_images


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    write_tar("lonely.tar", {**pairs(range(8)), "9.png": png(PIXELS[9])})
    write_tar("broken.tar", {**pairs(range(8)), "00003.png": b"no image"})
    write_tar("outside.tar", {**pairs(range(8)), "../9.png": png(PIXELS[9]), "../9.cls": b"1"})
    write_tar("bad.tar", pairs(range(8), taught=lambda row: "9"))
    Path("cut.parquet").write_bytes(Path("repository/data/test-00000-of-00001.parquet").read_bytes()[:-20])
    write_parquet("columns.parquet", range(4))
    Path("mixed").mkdir()
    for name in ("train-0", "extra"):
        write_tar(f"mixed/{name}.tar", pairs(range(8)))
    for name, message in {
        "lonely.tar": "of 9 there is not one of each",
        "broken.tar": "sample 3 of broken.tar",
        "outside.tar": "leads out of the archive",
        "bad.tar": "the label 9",
        "cut.parquet": "cannot be read as .parquet",
        "mixed": "extra.tar, which names no split",
        "tar/shard-{000..009}.tar": "there is no tar/shard-004.tar",
        "tar/shard-{9..1}.tar": "is no range of numbers",
        "none-*.tar": "no file matches",
        "none.parquet": "there is no data set",
    }.items():
        with pytest.raises(CnnspecError, match=message):
            opened(name)


def test_a_path_in_a_row_is_not_followed() -> None:
    Path("secret.png").write_bytes(png(PIXELS[0]))
    images = [{"bytes": None, "path": "secret.png"}] * 8
    parquet.write_table(pyarrow.table({"image": images, "label": [0, 1, 2, 3] * 2}), "paths.parquet")
    with pytest.raises(CnnspecError, match="not what is in it"):
        opened("paths.parquet")
    parquet.write_table(pyarrow.table({"a": [1], "b": [2]}), "columns.parquet")
    with pytest.raises(UsageError, match="none is known to be the image"):
        opened("columns.parquet")
