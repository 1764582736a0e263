"""Input sizes as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cnnspec.api import AxisSizes, SizeRange, Sizes
from cnnspec.api.terms import FURTHEST, INPUT, show_shape

__all__ = ["ranges_text", "render_sizes"]

ROWS: Final = 16  # of the table of outputs, around the declared size
SHOWN: Final = 6  # ranges on one line


def render_sizes(sizes: Sizes, *, table: bool = True) -> str:
    """The smallest input, then each axis: clean sizes, wanted sizes and, with `table`, the output by input."""
    lines = [f"{sizes.name}   input {show_shape(sizes.input)}"]
    if not sizes.valid:
        lines.append("The declared input is too small, or its sizes do not fit together.")
    lines += ["", f"smallest input  {show_shape(sizes.smallest)}{_other(sizes)}"]
    for axis in sizes.axes[:1] if sizes.alike else sizes.axes:
        lines += ["", "each axis" if sizes.alike else axis.axis, *_axis(sizes, axis, table)]
    if sizes.layer == INPUT:
        lines += ["", "There is no feature map: no layer keeps the axes of the input."]
    if sizes.tied:
        also = f" and {len(sizes.tied) - 1} more" if len(sizes.tied) > 1 else ""
        lines += [
            "",
            f"`{sizes.tied[0]}`{also} is as wide as the input makes it: other sizes are valid as declarations, and",
            "weights that were trained at the declared input fit only those named above.",
        ]
    return "\n".join(lines)


def _other(sizes: Sizes) -> str:
    """The smallest input for the other purpose, where it is another one."""
    if sizes.other_smallest == sizes.smallest:
        return ""
    if sizes.other_smallest is None:
        return "   (for inference; training takes no input that was tried)"
    here, there = ("inference", "training") if sizes.purpose == "inference" else ("training", "inference")
    return f"   (for {here}; {show_shape(sizes.other_smallest)} for {there})"


def _axis(sizes: Sizes, axis: AxisSizes, table: bool) -> list[str]:
    first, last = axis.span
    within = f"   (of {first} to {last})"
    lines = [f"  no border dropped  {ranges_text(axis.clean)}{within}"]
    if axis.fitting is not None:
        lines.append(f"  weights fit        {ranges_text(axis.fitting)}{within}")
    if axis.wanted is not None and sizes.output is not None:
        target = sizes.output[[one.axis for one in sizes.axes].index(axis.axis)]
        wanted = ranges_text(axis.wanted)
        if not axis.wanted:
            near = " and ".join(map(str, axis.nearest))
            wanted += f"; the nearest output{'s are' if len(axis.nearest) > 1 else ' is'} {near}"
        lines.append(f"  output {target} from      {wanted}")
    texts = [(_text(one), str(one.output)) for one in axis.outputs]
    if not texts:
        return [*lines, "  no size of the range is valid"]
    if not table or sizes.layer == INPUT:
        return lines
    here = next((index for index, one in enumerate(axis.outputs) if one.last >= axis.declared), len(texts) - 1)
    start = max(0, min(here - ROWS // 2, len(texts) - ROWS))
    shown = texts[start : start + ROWS]
    width = max(len("input"), *(len(text) for text, _ in shown))
    lines += ["", f"  {'input'.ljust(width)}  output of {sizes.layer}"]
    lines += [f"  {text.ljust(width)}  {output}" for text, output in shown]
    if len(shown) < len(texts):
        lines.append(f"  ({len(texts) - len(shown)} more rows between {first} and {last}: `--format json` has all)")
    return lines


def ranges_text(ranges: Sequence[SizeRange]) -> str:
    """`28 to 31, 40`, or `every 32 from 32 to 448`; only the first few."""
    more = f" and {len(ranges) - SHOWN} more ranges" if len(ranges) > SHOWN else ""
    return (", ".join(_text(one) for one in ranges[:SHOWN]) or "none") + more


def _text(one: SizeRange) -> str:
    if one.last == FURTHEST:
        return f"{one.first} or more"
    if one.first == one.last:
        return str(one.first)
    return f"{one.first} to {one.last}" if one.step == 1 else f"every {one.step} from {one.first} to {one.last}"
