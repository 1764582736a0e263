"""Which layers training leaves as they are, epoch by epoch; and the head, which is what a new task begins with.

Importing this module imports neither torch nor pydantic: `inspect` counts by it what training trains.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cnnspec.errors import UsageError
from cnnspec.graph import Graph, Node, is_below
from cnnspec.hints import did_you_mean

__all__ = ["EVERYTHING", "Freezing", "check_layer", "head_of", "rate_scale"]

EVERYTHING = "*"  # in place of a layer: all of them


def head_of(graph: Graph) -> tuple[str, ...]:
    """The layers that the outputs come from, auxiliary ones included: the last that mix what they read.

    Norms behind them are of the head; activations and pools between it and an output change nothing of that.
    """
    found: set[str] = set()
    waiting = [graph.by_name[name] for name in (*graph.outputs, *graph.aux_outputs)]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        if node.name in seen:
            continue
        seen.add(node.name)
        if node.params:
            found.add(node.name)
        if not (node.params and node.macs):
            waiting.extend(graph.by_name[name] for name in node.inputs if name in graph.by_name)
    return tuple(node.name for node in graph if node.name in found)


def check_layer(graph: Graph, name: str, option: str) -> None:
    """Raise UsageError where no parameter of the network lies below `name`, as `option` names it."""
    if any(is_below(tensor, (name,)) for node in graph for tensor in _parameters(node)):
        return
    known = dict.fromkeys(layer for node in graph if node.params for layer in _enclosing(node.name))
    raise UsageError(
        f"{option} {name}: no parameter of the network begins with that name",
        hint=did_you_mean(name, known) or "`cnnspec inspect` lists the layers",
    )


def rate_scale(name: str, scales: Mapping[str, float]) -> float:
    """By what the learning rate of a tensor is multiplied: the innermost layer that is named decides, then `*`."""
    while name:
        if name in scales:
            return scales[name]
        name = name.rpartition(".")[0]
    return scales.get(EVERYTHING, 1.0)


@dataclass(frozen=True, slots=True)
class Freezing:
    """The training options that keep layers as they are.

    `layers` are frozen, with `until` all that run before that layer, with `head_only` all but the head. Those that
    `thaw` names are trained from an epoch on, which is counted from 1.
    """

    layers: tuple[str, ...] = ()
    until: str | None = None
    head_only: bool = False
    thaw: tuple[tuple[str, int], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.layers or self.until or self.head_only)

    def at(self, graph: Graph, epoch: int | None = None) -> frozenset[str]:
        """The layers, and single tensors that are named, which are frozen in an epoch, from 0; by default for good.

        A layer without parameters is frozen, and so runs as in inference, where it is below a name of `layers`, or
        where something reads it that `until` or `head_only` freezes: dropout right before the head is left on.
        """
        thawed = frozenset(name for name, first in self.thaw if epoch is None or first - 1 <= epoch)
        if EVERYTHING in thawed:
            return frozenset()
        return frozenset(name for name in self._named(graph) | self._before(graph) if not is_below(name, thawed))

    def thawed(self, epoch: int) -> tuple[str, ...]:
        """What is trained from this epoch on, from 0, and was not before."""
        return tuple(name for name, first in self.thaw if first - 1 == epoch)

    def check(self, graph: Graph, epochs: int | None = None) -> None:
        """Raise UsageError for a layer that there is not, for options that rule each other out, and where nothing is
        left to train; with `epochs`, also for a layer that would be thawed after the last of so many."""
        for name in self.layers:
            check_layer(graph, name, "--freeze")
        if self.until is not None:
            if self.head_only:
                raise UsageError("--head-only and --freeze-until say two things", hint="give one of them")
            check_layer(graph, self.until, "--freeze-until")
            if not self._before(graph):
                raise UsageError(f"--freeze-until {self.until}: no layer with parameters runs before it")
        if self.head_only and not self._before(graph):
            raise UsageError("--head-only: the head is all that the network has")
        frozen = self._named(graph) | self._before(graph)
        for name, first in self.thaw:
            if name != EVERYTHING:
                check_layer(graph, name, "--unfreeze")
            if name != EVERYTHING and not any(is_below(each, (name,)) for each in frozen):
                raise UsageError(
                    f"--unfreeze {name}={first}: it is not frozen", hint="`--freeze` or `--freeze-until` freezes it"
                )
            if epochs is not None and first > epochs:
                raise UsageError(
                    f"--unfreeze {name}={first}: the run has {epochs} epochs", hint="`--epochs` gives it more"
                )
        if self.thaw and not frozen:
            raise UsageError("--unfreeze wants layers that are frozen", hint="`--head-only` or `--freeze` freezes them")
        still = self.at(graph, 0)
        if all(is_below(tensor, still) for node in graph for tensor in _parameters(node)):
            said = f"--freeze {','.join(self.layers)} leaves nothing to train"
            raise UsageError(
                said if self.layers else "the network has no parameters, so that there is nothing to train",
                hint="leave the last layer out of it" if self.layers else None,
            )

    def _named(self, graph: Graph) -> frozenset[str]:
        """What is below a name of `layers`: layers, and tensors that are named themselves."""
        layers = frozenset(self.layers)
        if not layers:
            return layers
        below = {node.name for node in graph if is_below(node.name, layers)}
        return frozenset(below | {tensor for node in graph for tensor in _parameters(node) if tensor in layers})

    def _before(self, graph: Graph) -> frozenset[str]:
        """The layers that `until` and `head_only` freeze, with what they alone read."""
        nodes = list(graph)
        if self.head_only:
            head = set(head_of(graph))
            weighted = {node.name for node in nodes if node.params and node.name not in head}
        elif self.until is not None:
            place = next((i for i, node in enumerate(nodes) if is_below(node.name, (self.until,))), 0)
            weighted = {node.name for node in nodes[:place] if node.params}
        else:
            return frozenset()
        frozen: set[str] = set()
        read: set[str] = set()  # by something that is frozen
        for node in reversed(nodes):
            if node.name in weighted or (node.name in read and not node.params):
                frozen.add(node.name)
            if node.name in frozen or node.name in read:
                read.update(node.inputs)
        return frozenset(frozen)


def _parameters(node: Node) -> Iterator[str]:
    """The names of a layer's parameters, buffers left out."""
    return map(node.tensor_name, node.op.parameter_shapes(*node.input_shapes))


def _enclosing(name: str) -> Iterator[str]:
    """A dotted name and the blocks around it."""
    while name:
        yield name
        name = name.rpartition(".")[0]
