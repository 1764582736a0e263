"""Images in folders, one folder per class: found, checked before the first step, and decoded once or as needed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from cnnspec.data.classes import SHOWN, VAL_FOLDERS, match_classes, some
from cnnspec.data.sets import (
    DataSet,
    Files,
    Images,
    ImageSet,
    OpenOptions,
    check_fit,
    stratified,
)  # fmt: skip
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import atomic_path
from cnnspec.graph import Graph
from cnnspec.images import MAX_PIXELS, SUFFIXES, check_shape, read_image

__all__ = ["LoaderPool", "decode", "open_folder"]

IGNORED: Final = ("thumbs.db", "desktop.ini")  # what systems leave in folders of pictures
_TEST_FRACTION: Final = 0.2


def open_folder(path: Path, graph: Graph, options: OpenOptions) -> DataSet:
    """`DIR/train/<class>/*` with `DIR/val` and `DIR/test`, or `DIR/<class>/*`, split here by class.

    Classes have the names of their folders, in alphabetical order or, where it has the same names, in the spec's.
    Where there is a `val`, it chooses the best epoch; `test`, where there is one, is read once, at the end. From one
    folder a fifth is held back as test images, the same whatever the seed.
    Raises CnnspecError that names the files which cannot be read, unless they are to be skipped.
    """
    train_folder = path / "train" if (path / "train").is_dir() else path
    val_folder = next((path / name for name in VAL_FOLDERS if (path / name).is_dir()), None)
    test_folder = path / "test" if (path / "test").is_dir() else None
    if train_folder is path:
        val_folder = test_folder = None
    classes = _class_names(train_folder)
    if options.classes:
        match_classes(str(path), classes, options.classes)
    same = set(graph.classes) == set(classes)
    if same:
        classes = graph.classes  # in the spec's order
    strays: list[Path] = []
    listed = {"train": _list(train_folder, classes, strays)}  # before classes are counted: an empty one may be a slip
    check_fit(graph, str(path), (1, 3), graph.output_shape[0] if options.classes else len(classes))
    shape = check_shape(graph.input_shape)
    if not same and not options.classes and any(not name.isdigit() for name in graph.classes):
        options.report(f"classes have the names of the folders, {some(classes)}; the spec has {some(graph.classes)}")
    for part, folder in (("val", val_folder), ("test", test_folder)):
        if folder is not None:
            listed[part] = _list(folder, classes, strays)
    if strays:
        names = some([stray.name for stray in strays])
        options.report(f"files left out that are no images of a class by suffix or place: {len(strays):,}, {names}")
    size = sum(len(paths) for paths, _ in listed.values()) * int(np.prod(shape))
    resident = options.loading == "resident" or (options.loading == "auto" and size <= options.memory)
    bad: list[str] = []
    sources = {part: _load(paths, labels, shape, resident, options, bad) for part, (paths, labels) in listed.items()}
    if bad:
        names = "; ".join(bad[:SHOWN]) + (f"; and {len(bad) - SHOWN} more" if len(bad) > SHOWN else "")
        if not options.skip_bad:
            raise CnnspecError(
                f"{len(bad)} file{'s' * (len(bad) > 1)} cannot be read as images: {names}",
                hint="`--skip-bad` leaves them out",
            )
        options.report(f"left out, as no image that can be read: {names}")
    for part, source in sources.items():
        counts = torch.bincount(source.targets, minlength=len(classes))
        empty = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
        if empty:
            raise CnnspecError(f"{path}: no image of {', '.join(empty[:SHOWN])} is left in {part}")
    contents = _contents(train_folder, listed["train"][0])
    place = Path(os.path.abspath(path))
    return replace(_split(path.resolve().name, classes, sources, size, options), place=place, contents=contents)


def _contents(folder: Path, paths: Sequence[Path]) -> str:
    """Names and sizes of the files: enough to see that they are others, and nothing has to be read for it."""

    def size(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:  # a bad one, which is left out
            return -1

    facts = (f"{path.relative_to(folder).as_posix()} {size(path)}" for path in paths)
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()


def _split(
    name: str, classes: tuple[str, ...], sources: dict[str, ImageSet], size: int, options: OpenOptions
) -> DataSet:
    train, val, test = sources["train"], sources.get("val"), sources.get("test")
    rows = torch.arange(len(train))
    if val is None and test is None:  # hold back test images first, so that they do not depend on the seed
        rows, held = stratified(train.targets, _TEST_FRACTION, 0)
        test = _pick(train, held)
    if val is not None:
        train_rows, val_rows = rows, torch.arange(len(val))
    else:
        kept, chosen = stratified(train.targets[rows], options.val_fraction, options.seed)
        train_rows, val_rows, val = rows[kept], rows[chosen], train
    if isinstance(train, Images):
        how = f"{size / 1e6:,.1f} MB, {f'decoded in {options.cache}' if train.mapped else 'all in memory'}"
    else:
        short = f": {size / 1e9:.1f} GB do not fit into memory" if options.loading == "auto" else ""
        how = f"decoded while training{short}"
    remark = (
        f"{name}: {len(train_rows):,} images of {len(classes)} classes to train, {len(val_rows):,} to validate,"
        f" {len(test) if test else 0:,} to test; {how}"
    )
    return DataSet(name, classes, train, train_rows, val, val_rows, test, remark)


def _pick(source: ImageSet, rows: Tensor) -> ImageSet:
    paths = tuple(source.paths[row] for row in rows.tolist())
    if isinstance(source, Images):
        return replace(source, images=source.images[rows], targets=source.targets[rows], paths=paths)
    return replace(source, targets=source.targets[rows], paths=paths)


def _class_names(folder: Path) -> tuple[str, ...]:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if len(names) < 2:
        raise UsageError(
            f"{folder} has {len(names)} folder{'s' * (len(names) != 1)} of images, and a class is a folder",
            hint="arrange the images as DIR/cat/1.png, DIR/dog/2.png, …",
        )
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:  # runs and exported files keep the names of classes as text
            raise UsageError(f"the name of the folder {folder / name} is no UTF-8", hint="rename it") from None
    return tuple(names)


def _list(folder: Path, classes: tuple[str, ...], strays: list[Path]) -> tuple[list[Path], Tensor]:
    """The images of every class, in the order of their names. Raises CnnspecError where a class has none.

    To `strays` goes every other file, by its suffix or because it lies beside the folders of the classes.
    """
    unknown = [name for name in _class_names(folder) if name not in classes]
    if unknown:
        raise CnnspecError(f"{folder} has the class `{unknown[0]}`, which the training images do not have")
    paths: list[Path] = []
    labels: list[int] = []
    strays += sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            raise CnnspecError(f"{folder} has no folder for the class `{name}`")
        found = sorted(_walk(folder / name, set()))
        files = [path for path in found if path.suffix.lower() in SUFFIXES]
        if not files:
            others = f": {some([path.name for path in found])}" if found else ""
            raise CnnspecError(
                f"{folder / name} holds no image{others}",
                hint=f"a folder is a class: take it away, or put images there; they end in {', '.join(SUFFIXES)}",
            )
        paths += files
        strays += [path for path in found if path.suffix.lower() not in SUFFIXES]
        labels += [label] * len(files)
    return paths, torch.tensor(labels)


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """Every file below a folder; a link that leads back to a folder already seen is not followed."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, seen)
        else:
            yield entry


def decode(path: Path, shape: tuple[int, int, int], max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """An image as `(C, H, W)` uint8. Raises CnnspecError that says what is wrong with the file."""
    try:
        pixels = read_image(path, shape, max_pixels=max_pixels)
    except UsageError as error:  # one of many files, and not what was named
        raise CnnspecError(error.message) from None
    return np.array(np.moveaxis(pixels, -1, 0), order="C")  # a copy: the original is read-only


def _load(
    paths: list[Path], labels: Tensor, shape: tuple[int, int, int], resident: bool, options: OpenOptions, bad: list[str]
) -> ImageSet:
    """Decode every file once: to keep the pixels, or only to know that it can be done."""
    cached = _cache_file(paths, shape, options.cache) if options.cache else None
    if cached is not None and cached.is_file() and cached.stat().st_size == len(paths) * int(np.prod(shape)):
        return Images(_mapped(cached, len(paths), shape), labels, mapped=True, paths=tuple(paths))
    good: list[int] = []
    pixels = torch.empty((len(paths) if resident else 0, *shape), dtype=torch.uint8)

    def attempt(path: Path) -> np.ndarray | str:
        try:
            return decode(path, shape, options.max_pixels)
        except CnnspecError as error:
            return error.message

    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1))) as pool:
        for row, result in enumerate(pool.map(attempt, paths, chunksize=16)):
            if isinstance(result, str):
                bad.append(result)
            else:
                if resident:
                    pixels[len(good)] = torch.from_numpy(result)
                good.append(row)
    kept = torch.tensor(good, dtype=torch.int64)
    chosen = tuple(paths[row] for row in good)
    if resident:
        return Images(pixels[: len(good)], labels[kept], paths=chosen)
    files = Files(chosen, labels[kept], shape, options.max_pixels)
    if options.cache is None or not good or (bad and not options.skip_bad):
        return files
    cached = _cache_file(files.paths, shape, options.cache)
    options.cache.mkdir(parents=True, exist_ok=True)
    with atomic_path(cached) as temporary, open(temporary, "wb") as file:
        for path in files.paths:
            file.write(decode(path, shape, options.max_pixels).tobytes())
    return Images(_mapped(cached, len(good), shape), labels[kept], mapped=True, paths=chosen)


def _cache_file(paths: Sequence[Path], shape: tuple[int, int, int], folder: Path) -> Path:
    """The cache of exactly these files, by their names, sizes and times of change."""
    digest = hashlib.sha256(repr(shape).encode())
    for path in paths:
        try:
            state = path.stat()
            digest.update(os.fsencode(path.resolve()) + f"\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
        except OSError:
            digest.update(os.urandom(16))  # a file that is not there has no cache
    return folder / f"{digest.hexdigest()[:32]}.u8"


def _mapped(path: Path, count: int, shape: tuple[int, int, int]) -> Tensor:
    return torch.from_numpy(np.memmap(path, np.uint8, "c", shape=(count, *shape)))


class _Decoded(Dataset[tuple[Tensor, Tensor] | CnnspecError]):
    """Images, decoded by worker processes. A file that cannot be read gives its error: raised, only a text arrives."""

    def __init__(self, source: Files) -> None:
        self.source = source

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, row: int) -> tuple[Tensor, Tensor] | CnnspecError:
        source = self.source
        try:
            return torch.from_numpy(decode(source.paths[row], source.shape, source.max_pixels)), source.targets[row]
        except CnnspecError as error:
            return error


def _batch(samples: list[tuple[Tensor, Tensor] | CnnspecError]) -> list[Tensor] | CnnspecError:
    """The images and the labels of samples, or the first error among them."""
    for sample in samples:
        if isinstance(sample, CnnspecError):
            return sample
    return [torch.stack(tensors) for tensors in zip(*samples, strict=True)]


class _Chosen(Sampler[list[int]]):
    """The rows of each batch, set anew for every epoch while the workers live on."""

    def __init__(self) -> None:
        self.chosen: list[Tensor] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter([rows.tolist() for rows in self.chosen])

    def __len__(self) -> int:
        return len(self.chosen)


class LoaderPool:
    """The processes that decode the images of files, which stay from epoch to epoch. As a context it ends them."""

    def __init__(self) -> None:
        self._idle: list[_Loader] = []  # that no stream uses at the moment

    def __enter__(self) -> LoaderPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._idle.clear()

    def stream(
        self, source: Files, chosen: list[Tensor], device: torch.device, workers: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of the `chosen` rows, decoded by worker processes, in memory from which the device can copy.

        Two streams of one source at the same time have workers of their own. Raises CnnspecError that names a file
        which could not be read.
        """
        loader = next((idle for idle in self._idle if idle.source is source), None)
        if loader is None:
            loader = _make_loader(source, device, workers)
        else:
            self._idle.remove(loader)
        loader.sampler.chosen = chosen
        for batch in loader.batches:
            if isinstance(batch, CnnspecError):
                raise batch
            yield batch
        self._idle.append(loader)


@dataclass(frozen=True, eq=False)
class _Loader:
    source: Files
    sampler: _Chosen
    batches: DataLoader[tuple[Tensor, Tensor] | CnnspecError]


def _make_loader(source: Files, device: torch.device, workers: int) -> _Loader:
    sampler = _Chosen()
    batches: DataLoader[tuple[Tensor, Tensor] | CnnspecError] = DataLoader(
        _Decoded(source),
        batch_sampler=sampler,
        collate_fn=_batch,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # otherwise every epoch would draw from the numbers that dropout uses
        worker_init_fn=_leave_group,
    )
    return _Loader(source, sampler, batches)


def _leave_group(worker: int) -> None:
    """A signal to the group of a run is for the process that trains: it needs its images until it has saved."""
    if hasattr(os, "setpgrp"):
        os.setpgrp()
