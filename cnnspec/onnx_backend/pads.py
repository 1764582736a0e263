"""Padding in ONNX: by a constant, or by copies of the axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops.window import Sliding

__all__ = ["pad"]

MODES: Final = {"constant": "constant", "reflect": "reflect", "replicate": "edge"}


def pad(writer: Writer, windows: Sequence[Sliding], read: str, output: str, *, value: float = 0.0) -> str:
    """Put around the spatial axes of `read` what these windows have before and behind them; all have one border."""
    if windows[0].border == "circular":
        return _round(writer, windows, read, output)
    ends = _ends(windows)
    if windows[0].border == "constant":
        given = [writer.constant(f"{output}/value", value)] * bool(value)
        return writer.add("Pad", [read, writer.integers(f"{output}/pads", _spatial(ends)), *given], output)
    crops = any(min(pair) < 0 for pair in ends)  # of what is padded: a copy counts from the end of the whole axis
    pads = writer.integers(f"{output}/pads", _spatial([(max(before, 0), max(after, 0)) for before, after in ends]))
    padded = f"{output}/padded" if crops else output
    writer.add("Pad", [read, pads], padded, mode=MODES[windows[0].border])
    return _cropped(writer, ends, padded, output) if crops else padded


def _ends(windows: Sequence[Sliding]) -> list[tuple[int, int]]:
    return [(window.before, window.after) for window in windows]


def _spatial(ends: list[tuple[int, int]]) -> list[int]:
    """All beginnings, then all ends, of all axes."""
    return [0, 0, *(before for before, _ in ends), 0, 0, *(after for _, after in ends)]


def _cropped(writer: Writer, ends: list[tuple[int, int]], read: str, output: str) -> str:
    """Without the places of negative paddings."""
    bounds = {
        "first": [max(0, -before) for before, _ in ends],
        "end": [min(after, 0) or np.iinfo(np.int64).max for _, after in ends],
        "axes": [axis + 2 for axis in range(len(ends))],
    }
    return writer.add(
        "Slice", [read, *(writer.integers(f"{output}/{key}", value) for key, value in bounds.items())], output
    )


def _round(writer: Writer, windows: Sequence[Sliding], read: str, output: str) -> str:
    """Axis by axis the last places, all, and the first: `Pad` goes round from opset 19 on only."""
    ends = _ends(windows)
    if any(min(pair) < 0 for pair in ends):
        read = _cropped(writer, ends, read, f"{output}/cropped")
    grown = [axis for axis, pair in enumerate(ends) if max(pair) > 0]
    for axis in grown:
        before, after = ends[axis]
        made = output if axis == grown[-1] else f"{output}/axis{axis + 2}"
        parts = [read]
        if before > 0:
            parts.insert(0, _part(writer, read, axis, -before, np.iinfo(np.int64).max, f"{made}/last"))
        if after > 0:
            parts.append(_part(writer, read, axis, 0, after, f"{made}/first"))
        read = writer.add("Concat", parts, made, axis=axis + 2)
    return read if grown else writer.add("Identity", [read], output)


def _part(writer: Writer, read: str, axis: int, start: int, end: int, output: str) -> str:
    bounds = (("from", start), ("to", end), ("axis", axis + 2))
    return writer.add("Slice", [read, *(writer.integers(f"{output}/{key}", [value]) for key, value in bounds)], output)
