"""What is printed of bands: the hull of a unit, the largest span, the pixels read, and the centre."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import product
from math import lcm, prod
from typing import Final

from cnnspec.analysis.bands import Band, Bands, Reads, fraction, merged
from cnnspec.ops import Shape

__all__ = ["centre", "hull", "joint_figures", "pixels_read", "span"]

JOINT: Final = 2**16  # units up to which each is looked at, where axes depend on each other
COUNTED: Final = 2**26  # pixels, over all units, up to which the units of differing strides are counted one by one


def hull(bands: Bands, unit: int) -> Reads | None:
    """The pixels that the unit of this number reads over all bands, not clipped to the input."""
    return bands[0].at(unit) if len(bands) == 1 else merged([band.at(unit) for band in bands])


def _hulls(bands: Bands, shape: Shape, *, ends: bool) -> list[Reads]:
    """What units of a tensor of this shape read: all that differ, or those among which the largest span is.

    Along whole periods a span is convex, so it is largest at an end. Bands on different axes of the tensor (one branch
    was transposed) meet in every combination of their units.
    """
    by_axis: dict[tuple[int, int], list[Band]] = {}
    for band in bands:
        by_axis.setdefault((band.carrier, band.lost), []).append(band)
    choices = []
    for group in by_axis.values():
        units = group[0].units(shape)
        telling: Sequence[int]
        period = lcm(*(len(band.phases) for band in group))
        if len(by_axis) > 1 and not ends:
            telling = range(units)
        elif len(by_axis) == len(group) == 1:
            telling = range(min(units, period))
        elif not ends or units <= 2 * period:
            telling = range(units)
        else:
            telling = [*range(period), *range(units - period, units)]
        choices.append([hull(tuple(group), unit) for unit in telling])
    if len(choices) == 1:
        return [reads for reads in choices[0] if reads is not None]
    if ends:  # the largest span over all combinations: those of the lowest and the highest
        extremes = [[reads for reads in choice if reads is not None] for choice in choices]
        choices = [[min(some), max(some, key=lambda reads: reads.high)] for some in extremes if some]
    return [reads for parts in product(*choices) if (reads := merged(parts)) is not None]


def span(bands: Bands, shape: Shape) -> int:
    """The receptive field in pixels: the largest over the units of a tensor of this shape."""
    if len(bands) == 1 and len(bands[0].phases) == 1:
        only = bands[0].phases[0]
        return only.size if only else 0
    return max((reads.size for reads in _hulls(bands, shape, ends=True)), default=0)


def pixels_read(bands: Bands, shape: Shape, widest: int) -> int:
    """The most pixels that one unit reads; less than the span, which is `widest`, where dilation leaves holes."""
    if len(bands) == 1 and len(bands[0].phases) == 1 and (only := bands[0].phases[0]) and only.mask is None:
        return only.size
    units = max(band.units(shape) for band in bands)
    counted = units ** len({band.carrier for band in bands}) * widest <= COUNTED
    return max((reads.pixels for reads in _hulls(bands, shape, ends=not counted)), default=0)


def joint_figures(terms: Sequence[tuple[Band, ...]], shape: Shape) -> list[tuple[int, int]] | None:
    """On each axis the span and the pixels read, of units that read a term only where they do so on all of its axes.

    None where there are too many units to look at each.
    """
    axes = range(len(terms[0]))
    units = [range(min(band.units(shape) for band in {term[axis] for term in terms})) for axis in axes]
    if prod(map(len, units)) * len(terms) > JOINT:
        return None
    most = [(0, 0) for _ in axes]
    for unit in product(*units):
        reads = [[term[axis].at(unit[axis]) for axis in axes] for term in terms]
        alive = [term for term in reads if None not in term]
        for axis in axes:
            if seen := merged(term[axis] for term in alive):
                span, pixels = most[axis]
                most[axis] = max(span, seen.size), max(pixels, seen.pixels)
    return most


def centre(band: Band) -> Fraction:
    """Where unit 0 is centred, in pixels; averaged over the units of a period, as far as they read something.

    Upsampling moves the units to either side of where they would be: their mean stands where one unit would.
    """
    period = len(band.phases)
    if period == 1 and (only := band.phases[0]):
        return fraction(only.low + only.high, 2)
    offsets = [
        (reads.low + reads.high) * period - 2 * i * band.step
        for i, reads in enumerate(band.phases)
        if reads is not None
    ]
    return fraction(sum(offsets), 2 * period * len(offsets)) if offsets else fraction(0, 1)
