"""Networks as stand-alone source for PyTorch."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from cnnspec.api.compared import Code, compared_code
from cnnspec.api.networks import PathLike, load
from cnnspec.errors import UsageError
from cnnspec.files import rewrite
from cnnspec.language import Network
from cnnspec.public import public

__all__ = ["code"]

_SUFFIX: Final = ".py"


@public()
def code(spec: Network | PathLike, output: PathLike | None = None, *, force: bool = False, verify: bool = True) -> Code:
    """A network as stand-alone source for PyTorch, a class for each block, and written to `output` if that is given.

    Where torch is installed the source is run first, and held to `build`: names, order and shapes of all tensors, and
    outputs bit for bit. Raises VerificationError where they differ, and then writes nothing; UsageError where `output`
    is there already (unless `force`) or does not end in .py; and as `load`.
    """
    path = None if output is None else _free(Path(output), force)
    network = spec if isinstance(spec, Network) else load(spec)
    made = compared_code(network, verify)
    if path is None:
        return made
    rewrite(path, made.text.encode())
    return replace(made, path=path)


def _free(path: Path, force: bool) -> Path:
    """A place for a file of source. Raises UsageError."""
    if path.suffix != _SUFFIX:
        raise UsageError(f"{path} does not end in .py", hint=f"write `-o {path.stem or 'net'}.py`")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}")
    if os.path.lexists(path) and not force:
        raise UsageError(f"{path} is there already", hint="`--force` writes over it")
    return path
