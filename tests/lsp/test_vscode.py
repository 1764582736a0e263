"""The extension for Visual Studio Code: its client with this server, in an editor of which it is only told."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXTENSION = Path(__file__).parents[2] / "editors" / "vscode"


def test_the_extension_speaks_with_the_server() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("the extension's test needs node 20.19 or newer, and there is none")
    if not (EXTENSION / "node_modules").is_dir():
        pytest.skip("the extension's test needs what it is built with: `make editors/vscode/node_modules`")
    environment = {**os.environ, "CNNSPEC_COMMAND": json.dumps([sys.executable, "-m", "cnnspec"])}
    for arguments in (["build.mjs"], ["--test", "test/"]):
        done = subprocess.run(
            [node, *arguments], cwd=EXTENSION, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
