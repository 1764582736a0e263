"""Everything that can be said against a spec: its errors, or else the warnings about its network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cnnspec.analysis import analyze
from cnnspec.analysis.lint import lint
from cnnspec.analysis.sizes import sizes
from cnnspec.errors import CnnspecError, Diagnostic, Place, SpecError
from cnnspec.graph import Graph
from cnnspec.language import MAX_NODES, Source, read_spec
from cnnspec.ops import show_shape

__all__ = ["Checked", "check"]

FEW_NODES: Final = 2000  # up to which the smallest input is looked for


@dataclass(frozen=True, slots=True)
class Checked:
    """What is wrong with one file, in the order of its text."""

    path: str
    text: str
    diagnostics: tuple[Diagnostic, ...]

    @property
    def errors(self) -> int:
        """How many of the findings are errors."""
        return sum(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    @property
    def warnings(self) -> int:
        """How many of the findings are warnings."""
        return len(self.diagnostics) - self.errors


def check(
    path: str | Path,
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    max_nodes: int = MAX_NODES,
) -> Checked:
    """Check a file: one variant, or the spec as it stands and each of its variants.

    Warnings are looked for where there is no error. `select` and `ignore` are codes of warnings. Raises UsageError
    where there is no such file, variant, parameter or code.
    """
    try:
        source = read_spec(path)
    except SpecError as error:
        return Checked(error.path, error.text, tuple(error.diagnostics))
    chosen: list[str | None] = [variant]
    if variant is None and not params:
        chosen = [None, *source.document.variants] if _stands_alone(source) else [*source.document.variants]
    diagnostics: dict[tuple[str, Place | str], Diagnostic] = {}
    graphs: list[Graph] = []
    for name in chosen:
        try:
            graphs.append(source.elaborate(variant=name, params=params, max_nodes=max_nodes))
        except SpecError as error:
            for diagnostic in _with_smallest_input(error, source, name, params, max_nodes):
                note = (f"in the variant {name}",) if name and variant is None else ()
                seen = diagnostics.get((diagnostic.code, diagnostic.place or diagnostic.message))
                if seen is None:
                    told = replace(diagnostic, notes=(*diagnostic.notes, *note))
                    diagnostics[diagnostic.code, diagnostic.place or diagnostic.message] = told
    if not diagnostics:
        silenced = source.document.header.lint.ignore
        for name, graph in zip(chosen, graphs, strict=True):
            for warning in lint(
                graph, analyze(graph, purpose="train"), select=select, ignore=ignore, silenced=silenced
            ):
                note = (f"in the variant {name}",) if name and variant is None and graph is not graphs[0] else ()
                told = replace(warning, notes=(*warning.notes, *note))
                diagnostics.setdefault((warning.code, warning.place or warning.message), told)
    return Checked(source.path, source.text, tuple(sorted(diagnostics.values(), key=_order)))


def _order(diagnostic: Diagnostic) -> tuple[int, int]:
    return (diagnostic.place.line, diagnostic.place.column) if diagnostic.place else (0, 0)


def _stands_alone(source: Source) -> bool:
    """Whether the spec is a network without a variant: a parameter may get its value from the variants only."""
    needed = [param.name for param in source.document.main.params if param.default is None]
    return not (needed and source.document.variants)


def _with_smallest_input(
    error: SpecError, source: Source, variant: str | None, params: Mapping[str, Any] | None, max_nodes: int
) -> list[Diagnostic]:
    """The errors; where all that is wrong is that windows do not fit, with the smallest input that they fit into."""
    if any(diagnostic.code != "E201" for diagnostic in error.diagnostics):
        return error.diagnostics
    try:
        inputs = sizes(source, variant=variant, params=params, max_nodes=min(max_nodes, FEW_NODES), purpose="train")
    except CnnspecError:  # there is no such input, or it is not to be had in a moment
        return error.diagnostics
    hint = f"`cnnspec sizes {source.path}`: the smallest input is {show_shape(inputs.smallest)}"
    return [
        replace(diagnostic, help=hint) if "cnnspec sizes" in (diagnostic.help or "") else diagnostic
        for diagnostic in error.diagnostics
    ]
