"""Pictures of a run, whatever the names of its classes."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import Image

from cnnspec.training.fonts import drawable
from cnnspec.training.plots import plot_confusion, plot_mistakes

NAMES = ("кот", "犬", "$5_{$", "\ud55c\uae00", "\U0001f600", "a\tb", "x\nx", "\udcff", "plain")


@pytest.fixture(autouse=True)
def _warnings_are_errors() -> None:
    warnings.simplefilter("error")


def test_names_in_any_script_are_drawn_without_a_warning(tmp_path: Path) -> None:
    matrix = [[int(row == column) for column in NAMES] for row in NAMES]
    plot_confusion(matrix, NAMES, tmp_path / "confusion.png")
    captions = [(name, "犬", 0.5, f"{name}.png") for name in NAMES]
    plot_mistakes([Image.new("L", (8, 8))] * len(NAMES), captions, tmp_path / "mistakes.png")
    for name in ("confusion.png", "mistakes.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_letter_is_drawn_in_a_font_that_has_it_and_else_as_a_box(tmp_path: Path) -> None:
    usual = FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap()
    other = FT2Font(font_manager.findfont("STIXGeneral")).get_charmap()  # both come with matplotlib
    letter = chr(min(set(other) - set(usual)))
    names, families = drawable([f"a{letter}", "\udcff"])
    assert names == [f"a{letter}", "□"]
    fonts = [FT2Font(font_manager.findfont(family)).get_charmap() for family in families[1:]]
    assert any(ord(letter) in font for font in fonts)
    assert drawable(["a"])[1] == families[:1]
    plot_confusion([[1, 0], [0, 1]], [f"a{letter}", "b"], tmp_path / "a.png")  # would warn in the usual font
    plot_mistakes([Image.new("L", (8, 8))], [(f"a{letter}", "b", 0.5, None)], tmp_path / "b.png")
