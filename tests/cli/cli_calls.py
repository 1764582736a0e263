"""Calls of the command line in this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from cnnspec.cli import main


def call(*arguments: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


def call_line(line: str) -> int:
    """The exit code of a command whose arguments have no spaces."""
    return call(*line.split())
