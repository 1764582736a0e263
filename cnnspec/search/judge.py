"""The verdict on a network: its figures, and which limits it does not keep. Nothing is built, and no torch imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

from cnnspec.analysis import Report, analyze
from cnnspec.graph import Graph
from cnnspec.language.figures import MEASURED, Limit, show_figure

__all__ = ["Figures", "Verdict", "Violation", "judge_figures", "judge_graph"]


@dataclass(frozen=True)
class Figures:
    """What a network is as inference runs it: counts, bytes, pixels and, once it is measured, seconds.

    What each figure is stands in `cnnspec.language.figures`.
    """

    params: int
    macs: int
    flops: int | None  # None where the cost of a layer is not known
    field: int | None  # None where every unit sees the whole input
    peak: int
    size: int
    training: int | None  # None where what only training has does not take the input
    latency: float | None = None

    @classmethod
    def of(cls, report: Report) -> Figures:
        """Those of a report for a batch of one."""
        sums = report.inference
        return cls(
            params=sums.params,
            macs=sums.macs,
            flops=sums.flops,
            field=min(sums.receptive_field, default=None),
            peak=sums.peak_inference_bytes,
            size=sums.param_bytes,
            training=sums.training_bytes,
        )

    def value(self, name: str) -> float | None:
        """The figure that a limit is on; None where it is not known. Who sees the whole input sees without end."""
        if name == "field" and self.field is None:
            return float("inf")
        value: float | None = getattr(self, name)
        return value

    def shown(self, name: str) -> str:
        """A figure as tables have it."""
        value = self.value(name)
        if name == "field" and self.field is None:
            return "all"
        return "-" if value is None else show_figure(name, value)

    def with_latency(self, seconds: float) -> Figures:
        """The same with the measured time of one sample."""
        return replace(self, latency=seconds)

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return asdict(self)


class Violation(NamedTuple):
    """A limit that a network does not keep, its figure, and by what share of the bound it is beyond it."""

    limit: Limit
    value: float | None
    excess: float

    def __str__(self) -> str:
        shown = "not known" if self.value is None else show_figure(self.limit.figure, self.value)
        return f"{self.limit.figure} is {shown}, and the limit {self.limit}"


class Verdict(NamedTuple):
    """The figures of a network, and the limits that it does not keep, the worst first."""

    figures: Figures
    violations: tuple[Violation, ...]

    @property
    def fits(self) -> bool:
        """Whether the network keeps every limit that was judged."""
        return not self.violations


def judge_graph(graph: Graph, limits: Mapping[str, Limit]) -> Verdict:
    """The verdict on a network, by what follows from its declaration; a limit on what has to be measured is left out.

    Raises SpecError for a network whose fields are too irregular.
    """
    return judge_figures(Figures.of(analyze(graph)), limits)


def judge_figures(figures: Figures, limits: Mapping[str, Limit]) -> Verdict:
    """The verdict on figures; what has not been measured yet is left out."""
    violations = []
    for limit in limits.values():
        value = figures.value(limit.figure)
        if value is None and limit.figure in MEASURED:
            continue
        if (excess := limit.excess(value)) > 0:
            violations.append(Violation(limit, value, excess))
    return Verdict(figures, tuple(sorted(violations, key=lambda violation: -violation.excess)))
