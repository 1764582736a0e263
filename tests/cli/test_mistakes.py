"""The worst mistakes of images in files are named: in Python, in JSON, as text and on the sheet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cli_calls import call
from matplotlib.figure import Figure
from PIL import Image

import cnnspec
from cnnspec import api

TEXT = "cnnspec: 1\nname: a\ninput: [1, 8, 8]\nlayers:\n  - Flatten\n  - Linear(2)\n"


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """White cats and black dogs, but for one black cat and one white dog among the test images."""
    monkeypatch.chdir(tmp_path)
    for part in ("train", "val", "test"):
        for name, level in (("cat", 250), ("dog", 5)):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for i in range(8):
                Image.new("L", (8, 8), level + i % 5).save(tmp_path / "pets" / part / name / f"{i}.png")
    Image.new("L", (8, 8), 0).save(
        tmp_path / "pets" / "test" / "cat" / "black $x_1$ and $ a name with no end at all.png"
    )
    Image.new("L", (8, 8), 255).save(tmp_path / "pets" / "test" / "dog" / "white.png")
    spec = cnnspec.loads(TEXT)
    api.train(spec, data="pets", name="a", epochs=8, threads=1, batch_size=4, rotate=0, shift=0)
    return tmp_path / "pets" / "test"


@pytest.mark.parametrize("loading", ["resident", "streaming"])
def test_mistakes_have_the_paths_of_their_files(pets: Path, loading: str) -> None:
    config = Path("runs/a/config.yaml")
    config.write_text(config.read_text().replace("loading: auto", f"loading: {loading}"))
    found = api.evaluate("runs/a").mistakes
    assert {Path(mistake.path or "").name[:5] for mistake in found} == {"black", "white"}
    for mistake in found:
        assert Path(mistake.path or "").parent == pets / mistake.true
        assert np.asarray(Image.open(mistake.path or "")).mean() == (0 if mistake.true == "cat" else 255)
    assert [mistake.path for mistake in api.evaluate("runs/a", data=str(pets), split="val").mistakes] != []


def test_paths_are_in_the_json_in_the_text_and_on_the_sheet(
    pets: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []
    write = Figure.savefig

    def note(figure: Figure, *args: object, **options: object) -> None:
        titles.extend(axes.get_title() for axes in figure.axes)
        write(figure, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Figure, "savefig", note)
    assert call("eval", "runs/a", "--format", "json") == 0
    listed = [mistake["path"] for mistake in json.loads(capsys.readouterr().out)["mistakes"]]
    assert str(pets / "dog" / "white.png") in listed
    assert any(title.endswith("\nwhite.png") for title in titles)
    assert any(title.endswith("with no end at all.png") for title in titles)
    assert call("eval", "runs/a") == 0
    assert f"sure: {pets / 'dog' / 'white.png'}" in capsys.readouterr().out


def test_images_without_files_have_no_path(tmp_path: Path) -> None:
    api.train("mlp", data="digits", runs=tmp_path, name="b", epochs=1, batch_size=256, threads=1)
    assert {mistake.path for mistake in api.evaluate(tmp_path / "b").mistakes} == {None}
