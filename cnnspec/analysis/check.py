"""Everything that can be said against a spec: its errors, or else the warnings about its network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cnnspec.analysis import analyze
from cnnspec.analysis.field_work import Work
from cnnspec.analysis.lint import lint
from cnnspec.analysis.sizes import sizes
from cnnspec.diagnostics import count
from cnnspec.errors import CnnspecError, Diagnostic, Place, SpecError
from cnnspec.graph import MAX_NODES, Graph
from cnnspec.language import Source
from cnnspec.language.elaborate import TOGETHER
from cnnspec.ops import Shape, show_shape

__all__ = ["Checked", "check"]

FEW_NODES: Final = 2000  # up to which the smallest input is looked for,
MOMENT: Final = 2**20  # and how much work that may be


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with one file, in the order of its text."""

    path: str
    text: str
    diagnostics: tuple[Diagnostic, ...]

    def __repr__(self) -> str:
        return f"<Checked {self.path}: {count(self.diagnostics)}>"

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    @property
    def warnings(self) -> int:
        """How many of the findings are warnings."""
        return len(self.diagnostics) - self.errors


def check(
    source: Source,
    faults: Sequence[Diagnostic] = (),
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    max_nodes: int = MAX_NODES,
) -> Checked:
    """Check a spec: one variant, or the spec as it stands and each of its variants.

    `faults` are errors that others have found in it, who know what analysis does not. Warnings are looked for where
    there is no error. `select` and `ignore` are codes of warnings. Raises UsageError where there is no such variant,
    parameter or code.
    """
    chosen: list[str | None] = [variant]
    if variant is None and not params:
        chosen = [None, *source.document.variants] if source.stands_alone else [*source.document.variants]
    diagnostics: dict[tuple[str, Place | str], Diagnostic] = {
        (fault.code, fault.place or fault.message): fault for fault in faults
    }
    graphs: list[Graph] = []
    left, tries = TOGETHER * max_nodes, TOGETHER
    for name in chosen:
        if left < 0:
            fault = _too_many_variants(
                source,
                name,
                f"the variants are more work together than networks of {TOGETHER * max_nodes:,} nodes",
                "`--max-nodes` raises the limit",
            )
            diagnostics[_key(fault)] = fault
            break
        outcome = source.outcome(variant=name, params=params, input_shape=input_shape, max_nodes=max_nodes)
        left -= outcome.work
        if outcome.graph is not None:
            graphs.append(outcome.graph)
            continue
        found: Sequence[Diagnostic] = outcome.diagnostics
        if tries and any(diagnostic.resizable and _key(diagnostic) not in diagnostics for diagnostic in found):
            found = _with_smallest_input(found, source, name, params, max_nodes)
            tries -= 1
        for diagnostic in found:
            note = (f"in the variant {name}",) if name and variant is None else ()
            told = replace(diagnostic, notes=(*diagnostic.notes, *note))
            diagnostics.setdefault(_key(diagnostic), told)
    if not diagnostics:
        silenced = source.document.header.lint.ignore
        work = Work()
        for name, graph in zip(chosen, graphs, strict=True):
            try:
                report = analyze(graph, purpose="train", work=work)
            except SpecError as error:  # too irregular to be analysed
                if work.over and graph is not graphs[0]:
                    fault = _too_many_variants(
                        source, name, "the receptive fields of the variants are too much work together"
                    )
                    diagnostics[_key(fault)] = fault
                    break
                diagnostics.update({_key(fault): fault for fault in error.diagnostics})
                continue
            for warning in lint(graph, report, select=select, ignore=ignore, silenced=silenced):
                note = (f"in the variant {name}",) if name and variant is None and graph is not graphs[0] else ()
                told = replace(warning, notes=(*warning.notes, *note))
                diagnostics.setdefault(_key(warning), told)
    return Checked(source.path, source.text, tuple(sorted(diagnostics.values(), key=Diagnostic.order)))


def _key(diagnostic: Diagnostic) -> tuple[str, Place | str]:
    """What is said once: variants come to the same lines."""
    return diagnostic.code, diagnostic.place or diagnostic.message


def _too_many_variants(source: Source, first: str | None, fact: str, *ways: str) -> Diagnostic:
    """The error for a spec whose variants are too much to be checked in one go, from `first` on."""
    return Diagnostic(
        "E119",
        f"{fact}: from `{first:.60}` on none is checked",
        source.document.places.get("variants"),
        help=", and ".join(("`--variant NAME` checks one", *ways)),
    )


def _with_smallest_input(
    errors: Sequence[Diagnostic],
    source: Source,
    variant: str | None,
    params: Mapping[str, Any] | None,
    max_nodes: int,
) -> Sequence[Diagnostic]:
    """The errors; where all that is wrong is that windows do not fit, with the smallest input that they fit into."""
    if any(diagnostic.code != "E201" for diagnostic in errors):
        return errors
    try:
        few = min(max_nodes, FEW_NODES)
        inputs = sizes(source, variant=variant, params=params, max_nodes=few, purpose="train", most_work=MOMENT)
    except CnnspecError:  # there is no such input, or it is not to be had in a moment
        return errors
    hint = f"`cnnspec sizes {source.path}`: the smallest input is {show_shape(inputs.smallest)}"
    return [replace(diagnostic, help=hint) if diagnostic.resizable else diagnostic for diagnostic in errors]
