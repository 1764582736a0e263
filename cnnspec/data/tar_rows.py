"""The samples of `.tar` shards as webdataset has them, files of one name: `00017.jpg` and `00017.cls`.

This imports no torch. A shard is gone through once, for the places of its files; a sample is read where it lies.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cnnspec.data.archive import Inside, open_archive
from cnnspec.data.classes import some
from cnnspec.errors import CnnspecError
from cnnspec.images import SUFFIXES
from cnnspec.sounds import SOUND_SUFFIXES

__all__ = ["TarRows", "has_pairs"]

_INPUTS: Final = (*SUFFIXES, *SOUND_SUFFIXES)
_TAUGHT: Final = (".cls", ".json")
_LONGEST: Final = 2**20  # bytes of what one sample is taught


class TarRows:
    """The samples of shards, in their order: the bytes of an image or a sound, and what it is taught.

    `.cls` holds the number or the name of a class, `.json` a number, a name, or a list of them. Raises CnnspecError for
    a shard that cannot be read, and where a sample is not whole.
    """

    def __init__(self, shards: Sequence[Path | Inside]) -> None:
        self.pairs: list[tuple[Inside, Inside]] = []
        for shard in shards:
            top = shard if isinstance(shard, Inside) else open_archive(shard)
            self.pairs += _pairs(top)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, row: int) -> tuple[bytes, Any]:
        image, taught = self.pairs[row]
        return image.read_bytes(), _taught(taught)


def has_pairs(top: Inside) -> bool:
    """Whether an archive is a shard, and no folder of classes."""
    return any(name.endswith(".cls") for name in top.archive.entries)


def _pairs(top: Inside) -> list[tuple[Inside, Inside]]:
    samples: dict[str, dict[str, Inside]] = {}
    for name in top.archive.entries:
        folder, slash, own = name.rpartition("/")
        key, _, suffix = own.partition(".")
        if key:  # a name that begins with a dot is hidden
            samples.setdefault(f"{folder}{slash}{key}", {})[f".{suffix.lower()}"] = Inside(top.archive, name)
    path, pairs, bad = top.archive.path, [], []
    for key, files in samples.items():
        inputs, taught = ([files[end] for end in files if end in ends] for ends in (_INPUTS, _TAUGHT))
        if len(inputs) == len(taught) == 1:
            pairs.append((inputs[0], taught[0]))
        elif inputs or taught:
            bad.append(key)
    if bad or not pairs:
        what = f"of {some(bad)} there is not one of each" if bad else "there is none"
        raise CnnspecError(
            f"{path}: a sample is an image or a sound and a `.cls` or `.json` of the same name, and {what}",
            hint="`00017.jpg` and `00017.cls`, which holds the number or the name of its class",
        )
    return pairs


def _taught(file: Inside) -> Any:
    if file.size > _LONGEST:
        raise CnnspecError(f"{file} has {file.size:,} bytes, and holds no class")
    try:
        text = file.read_bytes().decode().strip()
        if file.suffix.lower() == ".json":
            return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CnnspecError(f"{file} cannot be read: {error}") from None
    return int(text) if text.removeprefix("-").isdecimal() and len(text) < 10 else text
