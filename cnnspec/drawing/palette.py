"""Colours and sizes of pictures, for light paper and for dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from cnnspec.drawing.words import KINDS

__all__ = ["DARK", "FONT", "LIGHT", "SIZES", "Palette", "text_width"]

FONT: Final = "Inter, 'Helvetica Neue', Helvetica, Arial, 'Liberation Sans', sans-serif"
SLACK: Final = 1.07  # other fonts are wider than Helvetica, whose widths are taken

# The styles of texts: size in pixels, and whether bold.
SIZES: Final[Mapping[str, tuple[float, bool]]] = {
    "title": (16, True),
    "about": (11.5, False),
    "name": (12, True),
    "details": (12, False),
    "group": (11.5, True),
    "block": (11.5, False),
    "layers": (11, False),
    "badge": (11, True),
    "shape": (10.5, False),
    "pill": (11.5, False),
}


class Palette(NamedTuple):
    """Colours as `#rrggbb`."""

    paper: str
    ink: str
    muted: str
    line: str  # of edges
    border: str
    group: str  # the ground of groups
    badge: str
    kinds: Mapping[str, str]  # the ground of layers
    marks: Mapping[str, str]  # the bar at their left


_HUES: Final = {  # light ground, light mark, dark ground, dark mark
    "conv": ("#e3edfb", "#3b76c9", "#1d2b40", "#6ea0e6"),
    "linear": ("#ece6f9", "#7a58bd", "#2a2340", "#a58ae0"),
    "pool": ("#fbecd8", "#c9822b", "#3a2c1a", "#e0a657"),
    "norm": ("#eef1f4", "#8d99a6", "#242a31", "#7f8b98"),
    "activation": ("#e1f3ec", "#2f9a74", "#1a332a", "#57bd98"),
    "merge": ("#fbe4e6", "#c74f5c", "#3d2226", "#e58892"),
    "resample": ("#dff2f6", "#2b8ba3", "#18323a", "#5fb6cc"),
    "reshape": ("#f3f1ea", "#9a9178", "#2c2a23", "#aaa186"),
    "dropout": ("#f2eef0", "#a58b98", "#2e272b", "#b39aa6"),
    "pad": ("#f3f1ea", "#9a9178", "#2c2a23", "#aaa186"),
    "scale": ("#eef1f4", "#8d99a6", "#242a31", "#7f8b98"),
}
LIGHT: Final = Palette(
    paper="#ffffff",
    ink="#1d2530",
    muted="#66717e",
    line="#8591a0",
    border="#c9d0d8",
    group="#f7f9fb",
    badge="#e4e9ef",
    kinds={kind: _HUES[kind][0] for kind in KINDS},
    marks={kind: _HUES[kind][1] for kind in KINDS},
)
DARK: Final = Palette(
    paper="#0f141a",
    ink="#e3e8ee",
    muted="#97a3b0",
    line="#6b7887",
    border="#38424e",
    group="#151b23",
    badge="#2a333e",
    kinds={kind: _HUES[kind][2] for kind in KINDS},
    marks={kind: _HUES[kind][3] for kind in KINDS},
)

# Helvetica's widths, in thousandths of its size.
_WIDTHS: Final = {
    191: "'",
    222: "ijl",
    260: "|",
    278: " !,./:;I[\\]ft",
    333: "()-r`",
    389: "*",
    500: "Jcksvxyz",
    611: "FTZ",
    667: "&ABEKPSVXY",
    722: "CDHNRUw",
    778: "GOQ",
    833: "Mm",
    889: "%",
    944: "W",
}
_WIDTH_OF: Final = {letter: width for width, letters in _WIDTHS.items() for letter in letters}


def text_width(text: str, style: str) -> float:
    """About how wide a text is, in pixels."""
    size, bold = SIZES[style]
    thousandths = sum(_WIDTH_OF.get(letter, 570 if letter < "\u0250" else 1000) for letter in text)
    return thousandths * size / 1000 * SLACK * (1.06 if bold else 1)
