from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, serving

import cnnspec


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an exported network."""
    folder = tmp_path_factory.mktemp("served")
    cnnspec.export("lenet5", folder / "lenet5.onnx", verify=False)
    return folder


@pytest.fixture(scope="session")
def server(place: Path) -> Iterator[Served]:
    with serving("--predict", "lenet5.onnx", "--threads", "1", cwd=place) as served:
        yield served
