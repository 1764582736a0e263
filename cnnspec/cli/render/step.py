"""A training step as text, in the order in which it happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from cnnspec.api.terms import show_shape
from cnnspec.cli.render.columns import aligned
from cnnspec.cli.render.foreign import visible

if TYPE_CHECKING:
    from cnnspec.api import TrainingStep

__all__ = ["render"]

SHOWN: Final = 10  # classes, unless there are hardly more
DECIMALS: Final = 6  # of the error and its terms
LOSSES: Final = {
    "cross-entropy": "error = −Σ target·ln(probability)",
    "squared-error": "error = ½ Σ (target − probability)²",
}


def render(step: TrainingStep) -> str:
    """The whole step."""
    return "\n".join(_lines(step))


def _lines(step: TrainingStep) -> Iterator[str]:
    yield f"{visible(step.network)} with {visible(step.start)}; {visible(step.image)}, of class {visible(step.label)}"
    yield from ("", "1. Forward, and the error", *_classes(step), f"   {LOSSES[step.loss]}")
    yield from ("", "2. Backward: the error's gradient at each layer", *_layers(step))
    yield from (f"   {visible(remark)}" for remark in step.remarks)
    yield from ("", f"3. The update: {step.rule}")
    for weight in step.moved:
        place = ",".join(map(str, weight.index))
        yield f"   {visible(weight.tensor)}[{place}]  {number(weight.before)} → {number(weight.after)}"
        yield f"     gradient = {number(weight.gradient)}"
        yield from (f"     {line}" for line in weight.arithmetic)
    change = step.error_after - step.error
    yield from ("", "4. The same image again", *_again(step))
    yield f"   error {step.error:.{DECIMALS}f} → {step.error_after:.{DECIMALS}f}, {change:+.{DECIMALS}f}".replace(
        "-", "−"
    )


def number(value: float) -> str:
    """Six digits, with a real minus."""
    return f"{value:.6g}".replace("-", "−")


def rounded(terms: Sequence[float], total: float) -> tuple[list[str], str]:
    """Terms and their sum in print, so that those add up to this: what rounding leaves goes where it changes least."""
    unit = 10**DECIMALS
    wanted = round(total * unit)
    units = [int(term * unit // 1) for term in terms]
    by_rest = sorted(range(len(terms)), key=lambda place: units[place] - terms[place] * unit)
    for place in by_rest[: wanted - sum(units)]:
        units[place] += 1
    return [f"{each / unit:.{DECIMALS}f}" for each in units], f"{wanted / unit:.{DECIMALS}f}"


def _shown(step: TrainingStep) -> list[int]:
    """The classes of a table: all, or the right one and those of the largest terms or probabilities."""
    classes = step.classes
    if len(classes) <= SHOWN + 2:
        return list(range(len(classes)))
    order = sorted(range(len(classes)), key=lambda place: -max(classes[place].target, classes[place].probability))
    return sorted(order[:SHOWN])


def _classes(step: TrainingStep) -> Iterator[str]:
    texts, total = rounded([each.error for each in step.classes], step.error)
    shown = _shown(step)
    rows = [["class", "score", "probability", "target", "error"]]
    for place in shown:
        each = step.classes[place]
        rows.append(
            [visible(each.name), number(each.score), f"{each.probability:.6f}", f"{each.target:g}", texts[place]]
        )
    if rest := [place for place in range(len(step.classes)) if place not in shown]:
        probability = sum(step.classes[place].probability for place in rest)
        error = sum(round(float(texts[place]) * 10**DECIMALS) for place in rest) / 10**DECIMALS
        rows.append([f"{len(rest):,} others", "", f"{probability:.6f}", "0", f"{error:.{DECIMALS}f}"])
    rows.append(["", "", "", "error", total])
    yield from (f"   {line}" for line in aligned(rows, (0,)))


def _layers(step: TrainingStep) -> Iterator[str]:
    rows = [["layer", "operator", "output", "signal", "blocked", "gradient", "weights", "update / weights"]]
    for row in step.layers:
        share = None if row.update is None or not row.weights else row.update / row.weights
        rows.append([
            visible(row.layer), row.operator, show_shape(row.shape),
            *("-" if value is None else f"{value:.3g}" for value in (row.signal,)),
            "-" if row.blocked is None else f"{row.blocked:.1%}",
            *("-" if value is None else f"{value:.3g}" for value in (row.gradient, row.weights, share)),
        ])  # fmt: skip
    yield from (f"   {line}" for line in aligned(rows, (0, 1, 2)))
    yield "   signal: norm of ∂error/∂output; blocked: units of an activation whose derivative is 0;"
    yield "   gradient, weights, update: norms of ∂error/∂weights, of the weights, and of their change"


def _again(step: TrainingStep) -> Iterator[str]:
    rows = [["class", "before", "after", "change"]]
    for place in _shown(step):
        each = step.classes[place]
        change = f"{each.probability_after - each.probability:+.6f}".replace("-", "−")
        rows.append([visible(each.name), f"{each.probability:.6f}", f"{each.probability_after:.6f}", change])
    yield from (f"   {line}" for line in aligned(rows, (0,)))
