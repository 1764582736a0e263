"""An imported spec and its weights as files, whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cnnspec.errors import UsageError
from cnnspec.files import rewrite
from cnnspec.importing.pipeline import Imported

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_targets", "weights_bytes", "write", "write_files"]


def check_targets(
    output: str | os.PathLike[str] | None, weights: str | os.PathLike[str] | None, *, force: bool
) -> None:
    """Raise UsageError for files that could not be what they are called, before anything is done.

    Without `force` for a spec that is there already, too: somebody may have written it by hand.
    """
    if output is not None and os.path.lexists(output) and not force:
        raise UsageError(f"{os.fspath(output)} is there already", hint="`--force` writes over it")
    if output is not None and Path(output).suffix not in (".yaml", ".yml"):
        raise UsageError(f"{os.fspath(output)} does not end in .yaml", hint="a spec is written as YAML")
    if weights is not None and Path(weights).suffix != ".safetensors":
        raise UsageError(
            f"{os.fspath(weights)} does not end in .safetensors", hint="weights are written so, and only so"
        )
    for path in (output, weights):
        if path is not None and not Path(path).parent.is_dir():
            raise UsageError(f"there is no folder {Path(path).parent}")


def write(imported: Imported, output: str | os.PathLike[str] | None, weights: str | os.PathLike[str] | None) -> None:
    """Write the text, and the weights of its one network."""
    write_files(imported.text, output, imported.members[0].tensors, weights)


def write_files(
    text: str,
    output: str | os.PathLike[str] | None,
    tensors: Callable[[], Mapping[str, NDArray[Any]]] | None,
    weights: str | os.PathLike[str] | None,
) -> None:
    """Write a text and its weights, each whole or not at all."""
    if weights is not None and tensors is not None:
        rewrite(weights, weights_bytes(tensors()))
    if output is not None:
        rewrite(output, text.encode())


def weights_bytes(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Tensors in safetensors' format."""
    import numpy as np
    from safetensors.numpy import save

    plain = {name: np.ascontiguousarray(array).reshape(array.shape) for name, array in tensors.items()}
    data: bytes = save(plain, {"format": "pt"})
    return data
