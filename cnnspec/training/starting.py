"""Weights that a run starts from: which of their tensors the network takes, which of its layers start fresh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from torch import Tensor, nn

from cnnspec.analysis.freezing import check_layer, head_of
from cnnspec.errors import UsageError
from cnnspec.graph import Graph, is_below, unwrapped
from cnnspec.hints import did_you_mean
from cnnspec.ops import Shape
from cnnspec.torch_backend import check_state, read_weights
from cnnspec.training.config import TrainConfig
from cnnspec.training.run_weights import find_weights

__all__ = ["Start", "start_from"]

_SHOWN: Final = 8  # names in a row of the table


@dataclass(frozen=True)
class Start:
    """Weights matched with a network: what is taken, what starts fresh in spite of them, and what is left over."""

    source: str  # as it was named
    tensors: Mapping[str, Tensor] = field(repr=False)  # that are taken, by their names in the network
    reset: Mapping[str, tuple[Shape | None, Shape]]  # that start fresh: their shape in the weights, and in the network
    left_over: tuple[str, ...] = ()
    head: tuple[str, ...] = ()  # the layers that were reset because the weights are of other classes

    def load(self, model: nn.Module) -> None:
        """Put the tensors into a fresh network. Raises CnnspecError that names everything that does not fit."""
        fresh = model.state_dict()
        state = {**self.tensors, **{name: fresh[name] for name in self.reset}}
        check_state(model, state, self.source, can_reset=True)
        model.load_state_dict(state, strict=False)  # counters of batch norm may be missing; all else was checked

    def to_dict(self) -> dict[str, object]:
        """The table as plain data, tensor by tensor."""
        return {
            "cnnspec": 1,
            "source": self.source,
            "taken": list(self.tensors),
            "reset": [
                {"name": name, "given": given and list(given), "shape": list(shape)}
                for name, (given, shape) in self.reset.items()
            ],
            "left_over": list(self.left_over),
        }

    def table(self) -> list[str]:
        """The table in four lines: tensors are counted, and named by the outermost blocks that they are in."""
        why = ""
        if self.head:
            first = next(name for name in self.reset if is_below(name, self.head) and self.reset[name][0])
            given, shape = self.reset[first]
            why = f": {given[0] if given else 0:,} outputs there, {shape[0]:,} here"
        rows = (
            ("taken", len(self.tensors), _blocks(self.tensors)),
            ("reset", len(self.reset), _layers(self.reset) + why),
            ("left over", len(self.left_over), _layers(self.left_over)),
        )
        lines = [f"  {what:9}  {count:>5,}  {names}".rstrip() for what, count, names in rows]
        return [f"tensors of {self.source}:", *lines]


def start_from(graph: Graph, config: TrainConfig, path: str, source: str | None = None) -> Start:
    """What a network takes of the weights in a file or a run, which people know as `source`.

    Layers that `reset` names start fresh, and the head does where the weights have another number of classes: then
    the first axis of its tensors differs, and nothing else. What `leave_out` names is left over.
    Raises UsageError for a name that there is not, and where there are no weights; and as `read_weights`.
    """
    shapes = graph.state_shapes()
    given = unwrapped(read_weights(find_weights(path)), shapes)
    for name in config.reset:
        check_layer(graph, name, "--reset")
    for name in config.leave_out:
        if not any(is_below(tensor, (name,)) for tensor in given):
            raise UsageError(
                f"--leave-out {name}: no tensor of the weights begins with that name",
                hint=did_you_mean(name, [tensor.rpartition(".")[0] for tensor in given]),
            )
    left_over = [name for name in given if is_below(name, config.leave_out)]
    state = {name: tensor for name, tensor in given.items() if name not in set(left_over)}
    head = () if config.reset else tuple(_of_other_classes(graph, state))
    fresh = frozenset(config.reset) | frozenset(head)
    reset = {
        name: (tuple(given[name].shape) if name in given else None, shape)
        for name, shape in shapes.items()
        if is_below(name, fresh)
    }
    order = {name: place for place, name in enumerate(shapes)}
    return Start(
        source or path,
        {name: state[name] for name in sorted(state, key=lambda name: order.get(name, -1)) if name not in reset},
        reset,
        tuple(left_over),
        head,
    )


def _of_other_classes(graph: Graph, state: Mapping[str, Tensor]) -> Iterable[str]:
    """The layers of the head whose tensors differ from those of `state` in the first axis alone, which is the classes.

    All of the head or nothing: of two heads, one that fits would be of other classes than the one beside it.
    """
    head = head_of(graph)
    shapes = {name: shape for name, shape in graph.state_shapes().items() if is_below(name, head) and shape}
    if any(name not in state or tuple(state[name].shape)[1:] != shape[1:] for name, shape in shapes.items()):
        return ()
    if any(tuple(state[name].shape)[:1] == shape[:1] for name, shape in shapes.items()):
        return ()
    return head


def _blocks(names: Iterable[str]) -> str:
    return _listed(name.partition(".")[0] for name in names)


def _layers(names: Iterable[str]) -> str:
    return _listed(name.rpartition(".")[0] or name for name in names)


def _listed(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    return ", ".join(found[:_SHOWN]) + f", and {len(found) - _SHOWN} more" * (len(found) > _SHOWN)
