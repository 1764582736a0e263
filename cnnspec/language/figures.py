"""The figures that a network may be held to, and limits as people write them: `500k`, `1MB`, `2ms`, `>= 28`."""

from __future__ import annotations

import math
import re
from typing import Final, Literal, NamedTuple, TypeAlias

from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean

__all__ = ["FIGURES", "MEASURED", "Figure", "Limit", "parse_limit", "show_figure"]

Unit: TypeAlias = Literal["count", "bytes", "pixels", "seconds"]

_DECIMAL: Final = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12}
_UNITS: Final[dict[Unit, dict[str, float]]] = {
    "count": _DECIMAL,
    "bytes": {f"{letter}b": factor for letter, factor in _DECIMAL.items()}
    | {f"{letter}ib": 2.0 ** (10 * power) for power, letter in enumerate("kmgt", 1)},
    "pixels": {"": 1.0, "px": 1.0},
    "seconds": {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0},
}
_EXAMPLES: Final[dict[Unit, str]] = {
    "count": "`500k`, `20M` or a whole number",
    "bytes": "`1MB` for 10^6 bytes, `1MiB` for 2^20",
    "pixels": '`">= 28"`, in pixels',
    "seconds": "`2ms`",
}
_WRITTEN: Final = re.compile(r"\s*(<=|>=)?\s*([0-9]{1,18}(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-zµ]*)\s*")


class Figure(NamedTuple):
    """What a limit may be put on: its unit, and what it is."""

    unit: Unit
    meaning: str


FIGURES: Final[dict[str, Figure]] = {
    "params": Figure("count", "parameters"),
    "macs": Figure("count", "multiply-accumulates for one sample"),
    "flops": Figure("count", "operations for one sample: 2 for each multiply-accumulate, and all others"),
    "field": Figure("pixels", "receptive field of the last feature map, along the axis where it is smallest"),
    "peak": Figure("bytes", "tensors alive at the worst step of inference, for one sample in float32, without weights"),
    "size": Figure("bytes", "the parameters in float32"),
    "training": Figure("bytes", "the peak of a training step, for one sample"),
    "latency": Figure("seconds", "median time of one sample in onnxruntime on one thread of the CPU, measured"),
}
MEASURED: Final = ("latency",)  # what follows from no declaration


class Limit(NamedTuple):
    """The most, or with `least` the least, that a figure may be."""

    figure: str
    bound: float  # in parameters, operations, bytes, pixels or seconds
    least: bool = False

    def __str__(self) -> str:
        return f"{self.figure} {'>=' if self.least else '<='} {show_figure(self.figure, self.bound)}"

    def excess(self, value: float | None) -> float:
        """By what share of the bound a figure is beyond it; 0 or less where it keeps the limit.

        A figure that is not known keeps none.
        """
        if value is None:
            return 1.0
        beyond = self.bound - value if self.least else value - self.bound
        return beyond / self.bound


def parse_limit(name: str, written: object) -> Limit:
    """A limit as it is written: a number with a unit, and perhaps `<=` or `>=` before it.

    Raises UsageError for a figure that there is not, another unit, and what is no number.
    """
    figure = FIGURES.get(name)
    if figure is None:
        hint = did_you_mean(name, FIGURES) or f"there are: {', '.join(FIGURES)}"
        raise UsageError(f"there is no limit on `{name:.60}`", hint=hint)
    example = f"write {_EXAMPLES[figure.unit]}"
    if isinstance(written, bool) or not isinstance(written, (str, int, float)):
        raise UsageError(f"the limit on `{name}` is a number with its unit", hint=example)
    match = _WRITTEN.fullmatch(str(written)) if len(str(written)) < 60 else None
    if match is None:
        raise UsageError(f"`{str(written)[:40]}` is no limit on `{name}`", hint=example)
    sign, number, unit = match[1], float(match[2]), match[3].lower()
    factor = _UNITS[figure.unit].get(unit)
    if factor is None:
        said = f"has the unit `{match[3]}`" if unit else "has no unit"
        raise UsageError(f"the limit on `{name}`, `{written}`, {said}", hint=example)
    bound = number * factor
    if not (bound > 0 and math.isfinite(bound)):
        raise UsageError(f"the limit on `{name}` is above 0", hint=example)
    if name == "field" and sign is None:
        hint = f'`field: ">= {number:g}"` asks for at least as much, `"<= {number:g}"` for at most'
        raise UsageError("the limit on `field` says which way it goes", hint=hint)
    return Limit(name, bound, sign == ">=")


def show_figure(name: str, value: float) -> str:
    """A figure in the unit that fits: `20 M`, `1.05 MB`, `2 ms`."""
    unit = FIGURES[name].unit
    if unit == "seconds":
        return f"{value * 1e3:.3g} ms"
    if unit == "pixels":
        return f"{value:,.0f}"
    prefixes = (("", 1.0), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12))
    letter, factor = next((prefix for prefix in prefixes if value < 999.5 * prefix[1]), prefixes[-1])
    return f"{value / factor:.4g} {letter}{'B' * (unit == 'bytes')}".rstrip()
