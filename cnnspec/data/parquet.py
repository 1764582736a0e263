"""The rows of `.parquet` files as `datasets` of Hugging Face writes them.

Importing this imports neither torch nor pyarrow. Rows are read by their groups, of which a few stay in memory.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from cnnspec.data.given import columns
from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.files import check_inflation, check_regular

__all__ = ["ParquetRows"]

_KEPT: Final = 4  # groups of rows
_SMALL: Final = 2**30  # bytes that a group may unpack to whatever the size of its file


class ParquetRows:
    """The rows of files in their order: dictionaries of an image and what it is taught, by the columns' names.

    Images and sounds lie in them, as `{"bytes": …, "path": …}`; a path is never followed. `features` has the names of
    classes where `datasets` has noted them. Needs the extra `parquet`. Raises UsageError where columns are not to
    be told apart, and CnnspecError for a file that cannot be read.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        with needs_extra("parquet"):
            import pyarrow.parquet  # noqa: F401 - that it is there
        self.groups: list[tuple[Path, int]] = []
        counts: list[int] = []
        self.columns: tuple[str, str] | None = None
        for path in paths:
            file = _opened(path)
            schema, about = file.schema_arrow, file.metadata
            found = columns(dict.fromkeys(schema.names), str(path))
            if self.columns is None:
                self.columns, self.features = found, _features(schema.metadata or {})
            elif found != self.columns:
                raise UsageError(f"{path} has the columns {', '.join(found)}, and those before it others")
            for group in range(about.num_row_groups):
                rows = about.row_group(group)
                check_inflation(str(path), path.stat().st_size, rows.total_byte_size, small=_SMALL)
                self.groups.append((path, group))
                counts.append(rows.num_rows)
        self.starts = [0, *accumulate(counts)]
        self.kept: dict[int, Any] = {}

    def __len__(self) -> int:
        return self.starts[-1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": {}}

    def __getitem__(self, row: int) -> dict[str, Any]:
        group = bisect_right(self.starts, row) - 1
        if group not in self.kept:
            while len(self.kept) >= _KEPT:
                del self.kept[next(iter(self.kept))]
            self.kept[group] = self._read(group)
        (found,) = self.kept[group].slice(row - self.starts[group], 1).to_pylist()
        return {name: _bytes_of(value) for name, value in found.items()}

    def _read(self, group: int) -> Any:
        path, number = self.groups[group]
        try:
            return _opened(path).read_row_group(number, columns=list(self.columns or ()))
        except CnnspecError:
            raise
        except Exception as error:  # pyarrow's have no common base
            raise _unreadable(path, error) from None


def _opened(path: Path) -> Any:
    import pyarrow.parquet

    try:
        check_regular(path)
        return pyarrow.parquet.ParquetFile(path)
    except CnnspecError:
        raise
    except Exception as error:  # pyarrow's have no common base
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> CnnspecError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return CnnspecError(f"{path} cannot be read as .parquet: {reason:.200}")


def _bytes_of(value: Any) -> Any:
    """The content of a file that lies in a row. Raises CnnspecError where only its path does."""
    if not isinstance(value, Mapping) or not value.keys() <= {"bytes", "path"}:
        return value
    if value.get("bytes") is None:
        raise CnnspecError(
            "it has the path of a file, and not what is in it", hint="`datasets` embeds files by default"
        )
    return value["bytes"]


def _features(metadata: Mapping[bytes, bytes]) -> dict[str, SimpleNamespace]:
    """The columns with names of classes, as `datasets` notes them in a file."""
    try:
        listed = json.loads(metadata[b"huggingface"])["info"]["features"]
        return {
            name: SimpleNamespace(names=tuple(map(str, feature["names"])))
            for name, feature in listed.items()
            if isinstance(feature, dict) and isinstance(feature.get("names"), list)
        }
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):  # other programs write files too
        return {}
