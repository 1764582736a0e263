"""`cnnspec check`: which warnings are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cnnspec.cli.check import app

SPEC = (
    "cnnspec: 1\ninput: [3, 8, 8]\nlayers:\n  - Conv2d(8, 3)\n  - BatchNorm2d\n  - ReLU\n  - ReLU\n  - MaxPool2d(4)\n"
)


@pytest.mark.parametrize(
    ("flags", "codes"),
    [
        ([], ["W301", "W305", "W306"]),
        (["--ignore", "W301,W305"], ["W306"]),
        (["--ignore", "W301", "--ignore", "w306, W305"], []),
        (["--select", "W305,W306"], ["W305", "W306"]),
    ],
)
def test_codes_are_given_by_commas_or_by_flags(flags: list[str], codes: list[str], tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(SPEC, "utf-8")
    done = CliRunner().invoke(app, [str(path), *flags])
    assert [code for code in ("W301", "W305", "W306") if f"[{code}]" in done.output] == codes
    assert done.exit_code == 0
