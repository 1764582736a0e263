"""What an installation takes is what README says, and what it needs is what is installed."""

from __future__ import annotations

import marshal
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
MEGABYTE = 1e6


def stated() -> int:
    """The megabytes of an installation without extras, as README has them."""
    row = re.search(
        r"^\| inspect, check, calc, .*?: (\d+) MB \|$", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE
    )
    assert row
    return int(row[1])


def needed() -> list[metadata.Distribution]:
    """The packages that an installation without extras brings, this one apart."""
    waiting, found = [*PROJECT["project"]["dependencies"]], {}
    while waiting:
        name = re.match(r"[\w.-]+", waiting.pop())
        assert name
        if name[0].lower() in found:
            continue
        try:
            package = found[name[0].lower()] = metadata.distribution(name[0])
        except metadata.PackageNotFoundError:
            continue  # for another system
        waiting += [line for line in package.requires or [] if "extra ==" not in line]
    return [*found.values()]


def own_files() -> list[Path]:
    """What the wheel holds."""
    wheel = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]
    folders = [*wheel["packages"], *wheel["force-include"]]
    return [
        file for folder in folders for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix != ".pyc"
    ]


def test_readme_says_what_an_installation_takes() -> None:
    packages = needed()
    assert {"pydantic", "typer", "rich", "PyYAML"} <= {package.name for package in packages}
    files = [Path(str(file.locate())) for package in packages for file in package.files or []]
    files = [file for file in files if file.is_file()]
    if not any(file.suffix == ".pyc" for file in files):
        pytest.skip("the packages were installed without bytecode")
    own = own_files()
    assert len(own) > 250
    size = sum(file.stat().st_size for file in [*files, *own])
    size += sum(len(marshal.dumps(compile(file.read_bytes(), file, "exec"))) for file in own if file.suffix == ".py")
    assert size / MEGABYTE == pytest.approx(stated(), rel=0.1)


def test_the_pages_agree_on_it() -> None:
    found = re.findall(r"needs a (\d+) MB install", (ROOT / "docs" / "architecture.md").read_text("utf-8"))
    assert [*map(int, found)] == [stated()]


@pytest.mark.long
def test_the_built_wheel_takes_what_readme_says(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = subprocess.run(
        [*pip, "wheel", "--no-deps", "-w", tmp_path, ROOT], capture_output=True, text=True, check=False
    )
    if built.returncode:
        pytest.skip(f"no wheel can be built here: {built.stderr.strip()[-200:]}")
    (wheel,) = tmp_path.glob("*.whl")
    constraints = ["--constraint", ROOT / "constraints.txt"]
    subprocess.run([*pip, "install", "--target", tmp_path / "installed", *constraints, wheel], check=True)
    size = sum(file.stat().st_size for file in (tmp_path / "installed").rglob("*") if file.is_file())
    assert round(size / MEGABYTE) == stated()
