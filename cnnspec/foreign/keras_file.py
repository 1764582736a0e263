"""Opening Keras's files: an archive with a configuration and an HDF5 file of weights, of which nothing is run.

Sizes are bounded before anything is unpacked, and HDF5 may not lead out of its file.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.foreign.keras_config import KerasLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KerasWeights", "read_keras_file"]

MAX_CONFIG: Final = 64 * 2**20  # bytes of a configuration
MAX_WEIGHTS: Final = 2**31 - 1
MAX_RATIO: Final = 200  # to which something may have been packed
MAX_DEPTH: Final = 64
_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"


def read_keras_file(path: Path) -> tuple[object, KerasWeights | None]:
    """The configuration of a model, and its weights where the file has them.

    Raises UsageError where there is no such file, and CnnspecError for one that is damaged or refused.
    """
    shown = str(path)
    try:
        if not path.is_file():
            raise UsageError(f"there is no file {path}" if not path.exists() else f"{path} is not a regular file")
        if path.stat().st_size > MAX_WEIGHTS:
            raise CnnspecError(f"{shown} is larger than {MAX_WEIGHTS:,} bytes")
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    if path.suffix.lower() == ".json":
        return _parsed(data, shown), None
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            config = _member(archive, _CONFIG, MAX_CONFIG, shown)
            weights = _member(archive, _WEIGHTS, MAX_WEIGHTS, shown)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        raise CnnspecError(f"{shown} is no file of Keras: {error!s:.100}") from None
    except (ValueError, zipfile.zlib.error) as error:  # type: ignore[attr-defined]  # what damaged archives raise
        raise CnnspecError(f"{shown} is damaged: {error!s:.100}") from None
    return _parsed(config, shown), KerasWeights(weights, shown)


def _member(archive: zipfile.ZipFile, name: str, most: int, shown: str) -> bytes:
    try:
        entry = archive.getinfo(name)
    except KeyError:
        raise CnnspecError(f"{shown} is no file of Keras: it has no `{name}`") from None
    if entry.file_size > most or entry.file_size > MAX_RATIO * max(1, entry.compress_size):
        raise CnnspecError(f"{shown}: `{name}` in it would unpack to {entry.file_size:,} bytes, which is refused")
    with archive.open(entry) as file:
        data = file.read(entry.file_size + 1)
    if len(data) > entry.file_size:
        raise CnnspecError(f"{shown} is damaged: `{name}` is longer than it says")
    return data


def _parsed(data: bytes, shown: str) -> object:
    if len(data) > MAX_CONFIG:
        raise CnnspecError(f"{shown}: its configuration is larger than {MAX_CONFIG:,} bytes")
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CnnspecError(f"{shown}: its configuration is no JSON: {error!s:.100}") from None
    return found


@dataclass(frozen=True)
class KerasWeights:
    """The HDF5 file of a model's weights."""

    data: bytes
    shown: str

    def shapes(self, variables: Mapping[str, tuple[KerasLayer, int]]) -> dict[str, tuple[int, ...]]:
        """The shape of each variable by its key. Raises CnnspecError where the file lacks it."""
        return {key: tuple(self._dataset(layer, number).shape) for key, (layer, number) in variables.items()}

    def arrays(self, variables: Mapping[str, tuple[KerasLayer, int]]) -> dict[str, NDArray[Any]]:
        """Each variable by its key."""
        return {key: self.array(layer, number) for key, (layer, number) in variables.items()}

    def array(self, layer: KerasLayer, number: int) -> NDArray[Any]:
        """One variable of a layer. Raises CnnspecError."""
        import numpy as np

        dataset = self._dataset(layer, number)
        try:
            return np.asarray(dataset[()], np.int64 if dataset.dtype.kind in "iu" else np.float32)
        except Exception as error:  # what HDF5 says of damaged data has no common base
            raise self._damaged(error) from None

    def place(self, layer: KerasLayer, number: int) -> str:
        """Where in the file a variable is."""
        return str(self._dataset(layer, number).name)

    @cached_property
    def _file(self) -> Any:
        with needs_extra("keras"):
            import h5py
        try:
            return h5py.File(io.BytesIO(self.data), "r")
        except Exception as error:
            raise self._damaged(error) from None

    @cached_property
    def _groups(self) -> dict[str, Any]:
        """The variables of each layer by its path."""
        try:
            return dict(self._found(self._file, (), 0))
        except CnnspecError:
            raise
        except Exception as error:
            raise self._damaged(error) from None

    def _found(self, model: Any, scope: tuple[str, ...], depth: int) -> Iterator[tuple[str, Any]]:
        if depth > MAX_DEPTH:
            raise CnnspecError(f"{self.shown}: its weights are nested more than {MAX_DEPTH} deep")
        layers = self._child(model, "layers")
        for key in [] if layers is None else list(layers):
            group = self._child(layers, key)
            variables = None if group is None else self._child(group, "vars")
            if group is None or variables is None:
                continue
            name = variables.attrs.get("name")
            path = (*scope, re.sub(r"[./]", "_", name) if isinstance(name, str) else key)
            yield ".".join(path), variables
            if "layers" in group:
                yield from self._found(group, path, depth + 1)

    def _child(self, group: Any, key: str) -> Any:
        """What a group has, if it lies in it: links elsewhere are refused."""
        import h5py

        link = group.get(key, getlink=True)
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise CnnspecError(f"{self.shown}: its weights lead to other places (`{key:.40}`), which is refused")
        return group[key]

    def _dataset(self, layer: KerasLayer, number: int) -> Any:
        group = self._groups.get(layer.path)
        try:
            dataset = None if group is None else self._child(group, str(number))
            if dataset is None or not hasattr(dataset, "dtype"):
                raise CnnspecError(f"{self.shown} lacks a tensor of `{layer.path:.60}`")
            if dataset.external or dataset.is_virtual:
                raise CnnspecError(f"{self.shown}: its weights lead to other files, which is refused")
            if dataset.dtype.kind not in "fiu" or dataset.size is None:
                raise CnnspecError(f"{self.shown}: a tensor of `{layer.path:.60}` is of {dataset.dtype!s:.40}")
            if dataset.nbytes > MAX_RATIO * dataset.id.get_storage_size() + 4096 or dataset.nbytes > 4 * MAX_WEIGHTS:
                raise CnnspecError(
                    f"{self.shown}: a tensor of `{layer.path:.60}` would unpack to {dataset.nbytes:,} bytes"
                )
        except CnnspecError:
            raise
        except Exception as error:
            raise self._damaged(error) from None
        return dataset

    def _damaged(self, error: Exception) -> CnnspecError:
        return CnnspecError(f"{self.shown} is damaged: its weights cannot be read: {error!s:.100}")
