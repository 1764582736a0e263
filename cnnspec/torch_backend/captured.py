"""A captured module as it is run again: call by call, with other tensors, and what it costs by torch's own count."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from cnnspec.foreign.network import Network
from cnnspec.torch_backend.program_values import BATCH, NOISE, base_name, writes_in_place

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Captured"]


@dataclass(frozen=True)
class Captured:
    """A module as a network, and what it takes to run it call by call.

    `program` is the one that the network was read from: that of training, where inference is a part of it.
    """

    network: Network
    inference: ExportedProgram
    program: ExportedProgram
    made_by: Mapping[str, str]  # of each call, the node of `program`
    state: Mapping[str, Tensor]  # the module's own tensors
    batch: int = BATCH  # how many samples it was exported for, or may be run with

    @property
    def cannot_run(self) -> None:
        """Torch is here, or it had not been captured."""

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one sample, as torch counts them."""
        from torch.utils.flop_counter import FlopCounterMode

        empty = {key: torch.empty_like(tensor, device="meta") for key, tensor in self.state.items()}
        batch = torch.empty((self.batch, *self.network.input_shape), device="meta")
        with FlopCounterMode(display=False) as counter:
            for _ in _run(self.inference, empty, batch):
                pass
        return int(counter.get_total_flops()) // (2 * self.batch)

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """The module's own tensors by their keys, those in half precision as 32 bits."""
        return {key: _array(tensor) for key, tensor in self.state.items()}

    def outputs(self, tensors: Mapping[str, NDArray[Any]], batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        """What the module gives at inference for a batch."""
        (last,) = (node for node in self.inference.graph.nodes if node.op == "output")
        wanted = {node: None for node in pytree.tree_leaves(last.args[0]) if isinstance(node, fx.Node)}
        found = {
            node: value
            for node, value in _run(self.inference, _state(tensors), torch.from_numpy(batch))
            if node in wanted
        }
        return [found[node].numpy() for node in wanted if node in found]

    def values(
        self, tensors: Mapping[str, NDArray[Any]], batch: NDArray[np.float32], wanted: Collection[str]
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """What the `wanted` calls give at inference for a batch, in running order."""
        calls: dict[str, list[str]] = {}
        for call in wanted:
            calls.setdefault(self.made_by[call], []).append(call)
        for node, value in _run(self.program, _state(tensors), torch.from_numpy(batch)):
            for call in calls.get(node.name, ()):
                yield call, value.numpy()


def _state(tensors: Mapping[str, NDArray[Any]]) -> dict[str, Tensor]:
    return {key: torch.from_numpy(array) for key, array in tensors.items()}


def _array(tensor: Tensor) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    return (plain.float() if plain.is_floating_point() else plain).contiguous().numpy()


@torch.no_grad()
def _run(program: ExportedProgram, state: Mapping[str, Tensor], batch: Tensor) -> Iterator[tuple[fx.Node, Any]]:
    """Each node that gives a tensor, with it, at inference also where the program is that of training.

    Nothing is written in place, so that what was given stays as it is.
    """
    specs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    reads, done_after = _reads(program)
    values: dict[fx.Node, Any] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            spec = specs[node.name]
            if spec.kind == InputKind.USER_INPUT:
                values[node] = batch
            elif spec.kind == InputKind.CONSTANT_TENSOR:
                constant = program.constants[str(spec.target)]
                values[node] = constant.to(batch.device) if isinstance(constant, Tensor) else constant
            else:
                values[node] = state.get(str(spec.target))
        elif node.op == "call_function":
            args, kwargs = pytree.tree_map(
                lambda each, now=reads[node]: values[now[each]] if isinstance(each, fx.Node) else each,
                (node.args, dict(node.kwargs)),
                is_leaf=_is_node,
            )
            if kwargs.get("device") is not None:
                kwargs["device"] = batch.device
            values[node] = _called(node, args, kwargs)
            if isinstance(values[node], Tensor):
                yield node, values[node]
            for read in done_after.get(node, ()):
                del values[read]


def _reads(program: ExportedProgram) -> tuple[dict[fx.Node, dict[fx.Node, fx.Node]], dict[fx.Node, list[fx.Node]]]:
    """For each node, which node has the value of what it reads at that time; and after which node none is read more."""
    written: dict[fx.Node, fx.Node] = {}  # nodes whose value was written over, and by whom
    reads: dict[fx.Node, dict[fx.Node, fx.Node]] = {}
    last: dict[fx.Node, fx.Node] = {}
    for node in program.graph.nodes:
        reads[node] = {}
        for read in node.all_input_nodes:
            found = read
            while found in written:
                found = written[found]
            reads[node][read] = found
            last[found] = node
        if writes_in_place(node.target) and node.args and isinstance(node.args[0], fx.Node):
            written[reads[node][node.args[0]]] = node
    done_after: dict[fx.Node, list[fx.Node]] = {}
    for read, node in last.items():
        done_after.setdefault(node, []).append(read)
    return reads, done_after


def _is_node(each: object) -> bool:
    return isinstance(each, fx.Node)


def _called(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a node gives: at inference, and without writing over what it reads."""
    target: Any = node.target
    name = base_name(target)
    if name.removesuffix("_") in ("dropout", "feature_dropout", "alpha_dropout"):
        return args[0]
    if name.removesuffix("_") == "bernoulli" or node.meta.get(NOISE):
        device = next((each.device for each in args if isinstance(each, Tensor)), kwargs.get("device"))
        return torch.ones(node.meta["val"].shape, device=device)  # every path is kept
    if name in ("batch_norm", "instance_norm"):
        return _norm_at_inference(target, args)
    if not writes_in_place(target):
        return target(*args, **kwargs)
    packet = getattr(torch.ops.aten, name.removesuffix("_"))
    return getattr(packet, target._overloadname or "default", packet)(*args, **kwargs)


def _norm_at_inference(target: Any, args: tuple[Any, ...]) -> Any:
    """A norm that takes its running statistics, where it keeps any: the sixth argument says whether it does not."""
    return target(*args[:5], args[3] is None, *args[6:])
