"""From a source to a spec: its networks are read, lifted, folded into one text, and proved equal to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cnnspec.checks import Check
from cnnspec.errors import CnnspecError, VerificationError
from cnnspec.foreign import Gap, Lifted, Reference, Stored, lift
from cnnspec.foreign.laid_out import laid_out
from cnnspec.graph import Graph
from cnnspec.importing.sources import SourceName
from cnnspec.language import read_spec
from cnnspec.ops import Shape
from cnnspec.outline import refold, refold_family

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.importing.model import Model

__all__ = ["GapsError", "Imported", "Member", "import_models", "import_source"]


class GapsError(CnnspecError):
    """A source cannot be said: `gaps` has every layer that the language has no words for."""

    def __init__(self, name: str, gaps: Sequence[Gap]) -> None:
        layers = "1 layer needs" if len(gaps) == 1 else f"{len(gaps)} layers need"
        first = gaps[0]
        super().__init__(
            f"{name} cannot be said: {layers} what the language does not have, as `{first.layer}`",
            hint="docs/importing.md says what can be done about a gap",
        )
        self.gaps = tuple(gaps)


@dataclass(frozen=True)
class Member:
    """One network of a source, and where it is found in the text."""

    name: str
    model: Model = field(repr=False)
    lifted: Lifted = field(repr=False)
    names: Mapping[str, str] = field(repr=False)  # of each node of the lifted graph, in the text
    variant: str | None = None

    @cached_property
    def keys(self) -> dict[str, Reference]:
        """The tensors of the source by the `state_dict` keys of the text."""
        assert self.lifted.graph is not None
        keys = {}
        for node in self.lifted.graph:
            for key in node.tensors:
                here = f"{self.names[node.name]}.{key}" if key else self.names[node.name]
                keys[here] = self.lifted.weights[node.tensor_name(key)]
        return keys

    @property
    def source_keys(self) -> dict[str, str]:
        """The source's own keys by those of the text."""
        return {key: each.key for key, each in self.keys.items() if isinstance(each, Stored)}

    def tensors(self) -> dict[str, NDArray[Any]]:
        """The weights by the text's keys."""
        return laid_out(self.keys, self.model.tensors())


@dataclass(frozen=True)
class Imported:
    """A source as a spec. The first member is what the text says without a variant."""

    source: str
    text: str
    members: tuple[Member, ...]
    notes: tuple[str, ...] = ()
    checks: tuple[Check, ...] = ()

    def graph(self, member: Member) -> Graph:
        """The graph that the text comes to for a member."""
        return read_spec(f"{member.name}.yaml", self.text.encode()).elaborate(variant=member.variant)

    def proved(self) -> Imported:
        """The same with its checks. Raises VerificationError where one fails."""
        from cnnspec.importing.proof import prove

        checks: list[Check] = []
        for member in self.members:
            found = prove(member.model, member.lifted, self.graph(member), member.names, member.keys)
            several = len(self.members) > 1
            checks += [replace(check, name=f"{member.name}, {check.name}") for check in found] if several else found
        if failed := [check for check in checks if not check.passed]:
            raise VerificationError(f"{self.source} is not what its spec says: {failed[0].name}: {failed[0].detail}")
        return replace(self, checks=tuple(checks))


def import_source(
    source: SourceName,
    input_shape: Shape | None = None,
    report: Callable[[str], None] = lambda text: None,
    *,
    quick: bool = False,
) -> Imported:
    """The spec of a source, not proved yet. What code of others runs is told first.

    With `quick` the text is any that says it, for who looks at the network only.

    Raises GapsError where the language cannot say it, UsageError and CnnspecError where it cannot be read.
    """
    from cnnspec.importing.readers import read_models

    if source.warning:
        report(f"{source.text}: {source.warning}")
    return import_models(source.text, read_models(source, input_shape), quick=quick)


def import_models(source: str, models: Sequence[Model], *, quick: bool = False) -> Imported:
    """Networks that have been read as one spec. Raises GapsError."""
    lifted = [lift(model.network) for model in models]
    gaps = [gap for each in lifted for gap in each.gaps]
    if gaps:
        raise GapsError(source, gaps)
    notes = dict.fromkeys(note for each in lifted for note in each.notes)
    graphs = [each.graph for each in lifted if each.graph is not None]
    if len(graphs) == 1:
        folded = refold(graphs[0], lifted[0].classes, quick=quick)
        only = Member(graphs[0].name, models[0], lifted[0], folded.names)
        return Imported(source, folded.text, (only,), (*notes, *folded.notes))
    family = refold_family([(graph, each.classes) for graph, each in zip(graphs, lifted, strict=True)])
    members = tuple(
        Member(graph.name, model, each, names, graph.name if number else None)
        for number, (graph, model, each, names) in enumerate(zip(graphs, models, lifted, family.names, strict=True))
    )
    return Imported(source, family.text, members, (*notes, *family.notes))
