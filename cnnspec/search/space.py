"""Candidates: one value for every name of a space, and what the declaration says of the network that they make."""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from cnnspec.errors import SpecError, UsageError
from cnnspec.graph import Graph
from cnnspec.language import Network
from cnnspec.language.document import OF_TRAINING, Choice, Domain, SearchSection
from cnnspec.language.figures import Limit
from cnnspec.search.judge import Verdict, judge_graph

__all__ = ["Candidate", "Looked", "draw", "every", "look", "show_value"]


@dataclass(frozen=True)
class Candidate:
    """A point of a space: plain values by the names that vary."""

    values: Mapping[str, Choice]

    @property
    def params(self) -> dict[str, Choice]:
        """The values of the spec's parameters."""
        return {name: value for name, value in self.values.items() if not name.startswith(OF_TRAINING)}

    @property
    def options(self) -> dict[str, Choice]:
        """The values of training options, by their own names."""
        return {
            name.removeprefix(OF_TRAINING): value for name, value in self.values.items() if name.startswith(OF_TRAINING)
        }

    def __str__(self) -> str:
        return " ".join(f"{name}={show_value(value)}" for name, value in self.values.items())


def show_value(value: Choice) -> str:
    """A value as tables and messages have it."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class Looked(NamedTuple):
    """What the declaration says of a candidate: the verdict on its network, or why it makes none."""

    candidate: Candidate
    network: Network | None
    verdict: Verdict | None
    fault: str | None = None

    @property
    def fits(self) -> bool:
        """Whether there is a network, and it keeps the limits that can be judged."""
        return self.verdict is not None and self.verdict.fits

    def value(self, figure: str) -> float | None:
        """A figure of the network; None where it is not known, or there is no network."""
        return None if self.verdict is None else self.verdict.figures.value(figure)

    @property
    def architecture(self) -> str:
        """What two candidates share that are the same network with the same options: they would train alike."""
        assert self.network is not None
        options = sorted(self.candidate.options.items())
        return hashlib.sha256(repr((_structure(self.network.graph), options)).encode()).hexdigest()[:16]


def _structure(graph: Graph) -> object:
    """All of a graph that its training depends on."""
    nodes = [(node.name, node.op.op_name, node.op, node.inputs, node.input_shapes) for node in graph.nodes]
    return graph.input_shape, nodes, graph.outputs, graph.aux_outputs, graph.mean, graph.std, graph.intake


def look(network: Network, candidate: Candidate, limits: Mapping[str, Limit]) -> Looked:
    """Work a candidate out and judge it. Milliseconds, whatever it would take to train."""
    try:
        made = network.with_params(candidate.params, purpose="train")
        return Looked(candidate, made, judge_graph(made.graph, limits))
    except SpecError as error:
        first = error.diagnostics[0]
        where = f" in line {first.place.line}" if first.place is not None else ""
        return Looked(candidate, None, None, f"{first.code}{where}: {first.message}")
    except UsageError as error:
        return Looked(candidate, None, None, error.message)


def draw(section: SearchSection, source: random.Random) -> Candidate:
    """A candidate at random, every domain for itself."""
    return Candidate({name: _draw(domain, source) for name, domain in section.space.items()})


def _draw(domain: Domain, source: random.Random) -> Choice:
    if domain.count is not None:
        return domain.every()[source.randrange(domain.count)]
    first, last = domain.ends
    if domain.kind == "log":
        return min(last, max(first, math.exp(source.uniform(math.log(first), math.log(last)))))
    return source.uniform(first, last)


def every(section: SearchSection) -> Iterator[Candidate]:
    """All candidates of a space that has a number of them."""
    domains = [domain.every() for domain in section.space.values()]
    for values in itertools.product(*domains):
        yield Candidate(dict(zip(section.space, values, strict=True)))
