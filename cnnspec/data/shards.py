"""Which files a data set in shards consists of, and what each split has: `.tar` and `.parquet`. Imports no torch."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path
from typing import Final

from cnnspec.data.given import SPLITS
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import expand_user

__all__ = ["SHARDS", "are_there", "shards_of"]

SHARDS: Final = (".tar", ".parquet")
_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST: Final = 100_000  # files that a pattern may stand for
_SPLIT: Final = re.compile(rf"({'|'.join(sorted(sum(SPLITS.values(), ()), reverse=True))})(?![a-z0-9])", re.IGNORECASE)


def shards_of(name: str) -> dict[str, list[Path]] | None:
    """The files of each split; None where `name` is no data set in shards.

    That is a `.parquet` file, a pattern of files (`train-{000..009}.tar`, `a-*.parquet`), or a folder of them, where
    names that begin with `train`, `validation`, `test`, … say the split. Raises UsageError where a file is missing.
    """
    path = expand_user(name)
    if path.suffix in SHARDS and not path.exists() and _is_pattern(name):
        return {"train": _expanded(os.fspath(path))}
    if path.suffix == ".parquet" and path.is_file():
        return {"train": [path]}
    while path.is_dir():
        listed = [each for each in path.iterdir() if not each.name.startswith(".")]
        folders = [each for each in listed if each.is_dir()]
        if folders:  # a repository of Hugging Face has them in `data`; all others are folders of classes
            path = path / "data" if [each.name for each in folders] == ["data"] else Path(os.devnull)
            continue
        for suffix in SHARDS:
            if files := sorted(each for each in listed if each.suffix == suffix):
                return _by_split(path, files)
        break
    return None


def are_there(name: str) -> bool:
    """Whether there is something at a path, or for a pattern."""
    if os.path.exists(name) or not _is_pattern(name):
        return os.path.exists(name)
    try:
        return bool(shards_of(name))
    except CnnspecError:
        return False


def _is_pattern(name: str) -> bool:
    return bool(_RANGE.search(name)) or glob.has_magic(name)


def _expanded(pattern: str) -> list[Path]:
    """The files of a pattern, in their order. Raises UsageError where there are none, or one of a range is missing."""
    texts = [pattern]
    while found := _RANGE.search(texts[0]):
        low, high = int(found[1]), int(found[2])
        if not low <= high < low + _MOST // len(texts):
            raise UsageError(f"--data: `{found[0]}` is no range of numbers, or one of more than {_MOST:,} files")
        digits = len(found[1])
        texts = [_RANGE.sub(f"{number:0{digits}}", text, count=1) for text in texts for number in range(low, high + 1)]
    if glob.has_magic(pattern):
        files = [Path(each) for text in texts for each in sorted(glob.glob(text))]
        if not files:
            raise UsageError(f"--data: no file matches `{pattern}`")
        return files
    files = [Path(text) for text in texts]
    if missing := [each for each in files if not each.is_file()]:
        raise UsageError(f"--data: there is no {missing[0]}, of `{pattern}`")
    return files


def _by_split(folder: Path, files: list[Path]) -> dict[str, list[Path]]:
    found = {file: _SPLIT.match(file.stem) for file in files}
    if not any(found.values()):
        return {"train": files}
    if lonely := [file.name for file, split in found.items() if split is None]:
        raise UsageError(
            f"--data: {folder} has {lonely[0]}, which names no split, beside others that do",
            hint="names begin with `train`, `validation` or `test`; or a pattern says which files are meant",
        )
    parts: dict[str, list[Path]] = {}
    for split, names in SPLITS.items():
        own = [file for file, word in found.items() if word is not None and word[1].lower() in names]
        parts |= {split: own} if own else {}
    if "train" not in parts:
        raise UsageError(f"--data: {folder} has no file to train on", hint="its name begins with `train`")
    return parts
