"""Images or sounds in folders, one folder per class, on the disk or inside an archive."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import torch
from torch import Tensor

from cnnspec.data.archive import Inside, Place, content, file_size, relative
from cnnspec.data.classes import SHOWN, VAL_FOLDERS, match_classes, some
from cnnspec.data.load import load_parts
from cnnspec.data.sets import DataSet, Files, OpenOptions, check_fit
from cnnspec.data.splits import split_parts
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.images import SUFFIXES, check_shape
from cnnspec.sounds import SOUND_SUFFIXES, sound_rate

__all__ = ["contents_of", "open_folder"]


class _Kind(NamedTuple):
    """What lies in a folder of classes: what people call it, how its files end, and of which channels it may be."""

    word: str
    suffixes: tuple[str, ...]
    channels: tuple[int, ...] | None


_IMAGES: Final = _Kind("image", SUFFIXES, (1, 3))
_SOUNDS: Final = _Kind("sound", SOUND_SUFFIXES, None)
IGNORED: Final = ("thumbs.db", "desktop.ini")  # what systems leave in folders of pictures


def open_folder(path: Place, graph: Graph, options: OpenOptions) -> DataSet:
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
    strays: list[Place] = []
    kind = _SOUNDS if len(graph.input_shape) == 2 else _IMAGES
    # before classes are counted: an empty one may be a slip
    listed = {"train": _list(train_folder, classes, strays, kind)}
    check_fit(graph, str(path), kind.channels, graph.output_shape[0] if options.classes else len(classes))
    shape = graph.input_shape if kind is _SOUNDS else check_shape(graph.input_shape)
    if not same and not options.classes and any(not name.isdigit() for name in graph.classes):
        options.report(f"classes have the names of the folders, {some(classes)}; the spec has {some(graph.classes)}")
    for part, folder in (("val", val_folder), ("test", test_folder)):
        if folder is not None:
            listed[part] = _list(folder, classes, strays, kind)
    if strays:
        names = some([stray.name for stray in strays])
        options.report(
            f"files left out that are no {kind.word}s of a class by suffix or place: {len(strays):,}, {names}"
        )
    files = {
        part: Files(tuple(paths), labels, shape, options.max_pixels, graph.intake)
        for part, (paths, labels) in listed.items()
    }
    if kind is _SOUNDS and graph.intake.rate is None:
        _check_rates(str(path), graph, files["train"])
    sources = load_parts(files, options, kind.word)
    for part, source in sources.items():
        counts = torch.bincount(source.targets, minlength=len(classes))
        empty = [name for name, count in zip(classes, counts.tolist(), strict=True) if not count]
        if empty:
            raise CnnspecError(f"{path}: no {kind.word} of {', '.join(empty[:SHOWN])} is left in {part}")
    contents = contents_of(train_folder, listed["train"][0])
    top = path.archive.path if isinstance(path, Inside) else path
    place = Path(os.path.abspath(top))
    return replace(split_parts(top.resolve().name, classes, sources, options), place=place, contents=contents)


def _check_rates(shown: str, graph: Graph, files: Files) -> None:
    """Raise CnnspecError where sounds have several rates and the spec says none that all are brought to."""
    rates: dict[int, Place] = {}
    for path in files.paths:
        with suppress(CnnspecError):  # of one that cannot be read; it is told of later
            rates.setdefault(sound_rate(content(path), str(path)), path)
    if len(rates) > 1:
        (one, first), (other, second), *_ = rates.items()
        wanted = max(rates)
        raise CnnspecError(
            f"{shown} has sounds of several rates: {first} of {one:,} samples per second, {second} of {other:,}",
            hint=f"`input: {{shape: {list(graph.input_shape)}, rate: {wanted}}}` in the spec brings all to one",
        )


def contents_of(folder: Place, paths: Sequence[Place]) -> str:
    """Names and sizes of the files: enough to see that they are others, and nothing has to be read for it."""

    def size(path: Place) -> int:
        try:
            return file_size(path)
        except OSError:  # a bad one, which is left out
            return -1

    facts = (f"{relative(path, folder)} {size(path)}" for path in paths)
    return hashlib.sha256("\n".join(facts).encode("utf-8", "surrogateescape")).hexdigest()


def _class_names(folder: Place) -> tuple[str, ...]:
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


def _list(folder: Place, classes: tuple[str, ...], strays: list[Place], kind: _Kind) -> tuple[list[Place], Tensor]:
    """The images of every class, in the order of their names. Raises CnnspecError where a class has none.

    To `strays` goes every other file, by its suffix or because it lies beside the folders of the classes.
    """
    unknown = [name for name in _class_names(folder) if name not in classes]
    if unknown:
        raise CnnspecError(f"{folder} has the class `{unknown[0]}`, which the training images do not have")
    paths: list[Place] = []
    labels: list[int] = []
    strays += sorted(entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith("."))
    for label, name in enumerate(classes):
        if not (folder / name).is_dir():
            raise CnnspecError(f"{folder} has no folder for the class `{name}`")
        found = sorted(_walk(folder / name, set()))
        files = [path for path in found if path.suffix.lower() in kind.suffixes]
        if not files:
            others = f": {some([path.name for path in found])}" if found else ""
            raise CnnspecError(
                f"{folder / name} holds no {kind.word}{others}",
                hint=f"a folder is a class: take it away, or put {kind.word}s there;"
                f" they end in {', '.join(kind.suffixes)}",
            )
        paths += files
        strays += [path for path in found if path.suffix.lower() not in kind.suffixes]
        labels += [label] * len(files)
    return paths, torch.tensor(labels)


def _walk(folder: Place, seen: set[Place]) -> Iterator[Place]:
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
