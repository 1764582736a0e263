"""The public API hands on what it says, and imports it late."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("name", ["cnnspec.api", "cnnspec.api.terms"])
def test_type_checkers_and_programs_get_the_same_names(name: str) -> None:
    """Checkers read the imports, programs the table: the two and `__all__` are one list."""
    module = importlib.import_module(name)
    (block,) = (node for node in ast.parse(Path(str(module.__file__)).read_text("utf-8")).body if type(node) is ast.If)
    imported = {
        node.module: tuple(alias.name for alias in node.names) for node in block.body if type(node) is ast.ImportFrom
    }
    assert {home: {*names} for home, names in imported.items()} == {
        home: {*names} for home, names in module.LATER.items()
    }
    assert sorted(module.__all__) == sorted(name for names in module.LATER.values() for name in names)
    for home, names in module.LATER.items():
        for word in names:
            assert getattr(module, word) is getattr(importlib.import_module(home), word)
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
        module.nothing  # noqa: B018


def test_importing_the_api_imports_nothing_below_it() -> None:
    script = "import sys, cnnspec.api.terms; print(*(name for name in sys.modules if name.startswith('cnnspec')))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert {*done.stdout.split()} == {
        "cnnspec",
        "cnnspec.version",
        *(f"cnnspec.api{part}" for part in ("", ".later", ".terms")),
    }
