"""A spec that has been worked out: the one value that everything after elaboration carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self, TypeVar

from cnnspec.graph import MAX_NODES, Graph, Purpose
from cnnspec.intake import Intake
from cnnspec.language.spec_source import Source, read_spec
from cnnspec.ops import Shape
from cnnspec.public import public

__all__ = ["Network", "NetworkRecord", "normalised"]

N = TypeVar("N", bound="Network")


@dataclass(frozen=True)
class NetworkRecord:
    """All it takes to work a network out again, as plain data: what a run's folder and an exported file keep of it.

    Two networks with equal records are the same.
    """

    spec: str  # the text
    variant: str | None
    params: dict[str, str]  # those that were set, as they are written
    input_shape: Shape | None  # None: the declared one


@dataclass(frozen=True)
class Network:
    """A spec that has been read and worked out: a valid network, and what it was worked out from.

    `graph` is all that is declared; `graph.network("inference")` is what inference runs, and what is exported.
    """

    source: Source
    graph: Graph
    variant: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)  # those that were set, as they are written
    input_override: Shape | None = None  # the input that was asked for in place of the declared one
    max_nodes: int = field(default=MAX_NODES, repr=False)
    as_declared: bool = True  # whether mean and std are those of the spec

    @classmethod
    @public()
    def elaborate(
        cls,
        source: Source,
        *,
        variant: str | None = None,
        params: Mapping[str, object] | None = None,
        input_shape: Shape | None = None,
        max_nodes: int = MAX_NODES,
        purpose: Purpose = "inference",
    ) -> Self:
        """The network that a spec declares with these parameters. Raises as `Source.elaborate`."""
        graph = source.elaborate(
            variant=variant, params=params, input_shape=input_shape, max_nodes=max_nodes, purpose=purpose
        )
        override = None if input_shape is None else graph.input_shape
        return cls(source, graph, variant, _written(params or {}), override, max_nodes)

    @classmethod
    @public()
    def from_record(cls, record: NetworkRecord, path: str, *, purpose: Purpose) -> Self:
        """The network of a record. `path` is the name in messages; with `.json` at its end the text is JSON.

        Raises SpecError and UsageError, as reading and working out the spec does.
        """
        source = read_spec(path, record.spec.encode("utf-8", "surrogateescape"))
        return cls.elaborate(
            source,
            variant=record.variant,
            params=record.params,
            input_shape=record.input_shape,
            purpose=purpose,
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.graph.in_words}>"

    def record(self) -> NetworkRecord:
        """What `from_record` makes this network of again."""
        return NetworkRecord(self.source.text, self.variant, dict(self.params), self.graph.input_shape)

    @property
    def name(self) -> str:
        """The network's name: the variant's where it is one."""
        return self.graph.name

    @public()
    def with_params(self, params: Mapping[str, object], *, purpose: Purpose = "inference") -> Self:
        """The same network with these parameters set too. No file is read again.

        An input that took the place of the declared one stays. Raises SpecError where the network is not valid with
        them, and UsageError for a parameter that there is not or a value that it cannot hold.
        """
        made = type(self).elaborate(
            self.source,
            variant=self.variant,
            params={**self.params, **params},
            input_shape=self.input_override,
            max_nodes=self.max_nodes,
            purpose=purpose,
        )
        return self._normalised_as(made)

    @public()
    def at_size(self, shape: Shape, *, purpose: Purpose = "inference") -> Self:
        """The same network for another input, without the batch axis. No file is read again.

        Raises SpecError where it does not fit, and UsageError for what is no shape.
        """
        made = type(self).elaborate(
            self.source,
            variant=self.variant,
            params=self.params,
            input_shape=shape,
            max_nodes=self.max_nodes,
            purpose=purpose,
        )
        return self._normalised_as(made)

    def _normalised_as(self, made: Self) -> Self:
        """Another network of the spec, with the normalisation that this one has."""
        if self.as_declared or made.graph.input_shape[0] != self.graph.input_shape[0]:
            return made
        return normalised(made, mean=self.graph.mean, std=self.graph.std)


def normalised(network: N, *, mean: tuple[float, ...], std: tuple[float, ...], intake: Intake | None = None) -> N:
    """The same network whose input is normalised otherwise than its spec says: as its weights were trained.

    `intake` says how files become that input, where the spec says that otherwise too.
    """
    graph = network.graph
    changed = replace(graph, mean=mean, std=std, intake=graph.intake if intake is None else intake)
    return network if changed == graph else replace(network, graph=changed, as_declared=False)


def _written(params: Mapping[str, object]) -> dict[str, str]:
    """Parameters as `--set` would be given them."""
    return {name: getattr(value, "word", None) or str(value) for name, value in params.items()}
