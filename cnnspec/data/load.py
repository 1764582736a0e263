"""Files decoded once: to be kept, in memory or in the cache, or only to know that it can be done."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain
from math import prod
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from cnnspec.cores import usable_cores
from cnnspec.data.archive import Inside, Place
from cnnspec.data.classes import SHOWN, some
from cnnspec.data.sets import Files, Images, ImageSet, OpenOptions
from cnnspec.data.stores import mapped_file
from cnnspec.errors import CnnspecError
from cnnspec.files import atomic_path

__all__ = ["load_files", "load_parts"]

_JPEGS: Final = (".jpg", ".jpeg")
_TOGETHER: Final = 16  # files that a thread takes at once


def load_parts(files: Mapping[str, Files], options: OpenOptions, word: str) -> dict[str, ImageSet]:
    """The parts of a data set, loaded as the options say; `word` is what messages call what lies in a file.

    Raises CnnspecError that names the files which cannot be read, unless they are to be skipped.
    """
    size = sum(source.nbytes for source in files.values())
    resident = options.loading == "resident" or (options.loading == "auto" and size <= options.memory)
    bad: list[str] = []
    if options.varied and "val" in files and _may_be_near(files["train"]):  # without a `val`, some of them validate
        files = {**files, "train": replace(files["train"], near=True)}
    sources = {
        part: load_files(source, resident and not (options.as_files and part == "train"), options, bad)
        for part, source in files.items()
    }
    if bad:
        names = "; ".join(bad[:SHOWN]) + (f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else "")
        if not options.skip_bad:
            raise CnnspecError(
                f"{len(bad)} file{'s' * (len(bad) > 1)} cannot be read as {word}s: {names}",
                hint="`--skip-bad` leaves them out",
            )
        options.report(f"left out, as no {word} that can be read: {names}")
    return sources


def _may_be_near(files: Files) -> bool:
    """Whether whole images among these can be decoded at a smaller size."""
    return files.intake.fit == "stretch" and any(path.suffix.lower() in _JPEGS for path in files.paths)


def load_files(files: Files, resident: bool, options: OpenOptions, bad: list[str]) -> ImageSet:
    """The same images, kept in memory where they are `resident`, or in the cache where there is one, or as files.

    To `bad` goes what is wrong with those that cannot be decoded; they are left out. What stays in files is looked at
    only: all of it where bad ones are skipped, and else a JPEG that is damaged in its midst is told of when it is read.
    """
    size = prod(files.shape) * files.kind.itemsize
    cached = _cache_file(files, options.cache) if options.cache else None
    if cached is not None and cached.is_file() and cached.stat().st_size == len(files) * size:
        mapped = mapped_file(cached, files.shape, files.kind)
        return Images(mapped, files.targets, mapped=True, paths=files.paths, near=files.near)
    good: list[int] = []
    plain: list[str] = []
    pixels = np.empty((len(files) if resident else 0, *files.shape), files.kind)

    def attempt(row: int) -> Tensor | bool | str:
        try:
            return files.read(row) if resident else files.check(row, whole=options.skip_bad)
        except CnnspecError as error:
            return error.message

    def attempts(first: int) -> list[Tensor | bool | str]:
        return [attempt(row) for row in range(first, min(first + _TOGETHER, len(files)))]

    with ThreadPoolExecutor(min(8, usable_cores())) as pool:
        for row, result in enumerate(chain.from_iterable(pool.map(attempts, range(0, len(files), _TOGETHER)))):
            if isinstance(result, str):
                bad.append(result)
            else:
                if result is False:
                    plain.append(str(files.paths[row]))
                if isinstance(result, Tensor):
                    pixels[len(good)] = result.numpy()
                good.append(row)
    if plain:
        options.report(f"files of one colour or value throughout: {len(plain):,}, {some(plain)}")
    kept = torch.tensor(good, dtype=torch.int64)
    chosen = replace(files, paths=tuple(files.paths[row] for row in good), targets=files.targets[kept])
    if resident:
        return Images(torch.from_numpy(pixels[: len(good)]), chosen.targets, paths=chosen.paths, near=files.near)
    if options.cache is None or not good or (bad and not options.skip_bad):
        return chosen
    cached = _cache_file(chosen, options.cache)
    options.cache.mkdir(parents=True, exist_ok=True)
    with atomic_path(cached) as temporary, open(temporary, "wb") as file:
        for row in range(len(chosen)):
            file.write(chosen.read(row).numpy().data)
    mapped = mapped_file(cached, files.shape, files.kind)
    return Images(mapped, chosen.targets, mapped=True, paths=chosen.paths, near=files.near)


def _cache_file(files: Files, folder: Path) -> Path:
    """The cache of exactly these files, by their names, sizes and times of change."""
    digest = hashlib.sha256(repr((files.shape, files.intake) if files.intake else files.shape).encode())
    digest.update(b"near" * files.near)
    for path in files.paths:
        try:
            digest.update(_stamp(path))
        except OSError:
            digest.update(os.urandom(16))  # a file that is not there has no cache
    return folder / f"{digest.hexdigest()[:32]}.{'u8' if files.kind == np.uint8 else 'f32'}"


def _stamp(path: Place) -> bytes:
    if isinstance(path, Inside):
        return f"{path.stamp}\n".encode("utf-8", "surrogateescape")
    state = path.stat()
    return os.fsencode(path.resolve()) + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode()
