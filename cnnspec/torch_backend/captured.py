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

from cnnspec.errors import CnnspecError
from cnnspec.foreign.network import Network
from cnnspec.torch_backend.program_values import BATCH, NOISE, base_name, writes_in_place
from cnnspec.torch_backend.program_writes import needed, written_inputs

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
    given: tuple[str, ...]  # of each output, the node of `inference`
    batch: int = BATCH  # how many samples it was exported for, or may be run with

    @property
    def cannot_run(self) -> None:
        """Torch is here, or it had not been captured."""

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates for one sample that the outputs depend on, as torch counts them. Raises CnnspecError."""
        from torch.utils.flop_counter import FlopCounterMode

        empty = {key: _single(torch.empty_like(tensor, device="meta")) for key, tensor in self.state.items()}
        batch = torch.empty((self.batch, *self.network.input_shape), device="meta")
        try:
            with FlopCounterMode(display=False) as counter:
                for _ in _run(self.inference, empty, batch, needed(self.inference.graph)):
                    pass
        except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:  # of what the program calls
            raise CnnspecError(f"{self.network.name} cannot be run again in float32: {error!s:.200}") from error
        return int(counter.get_total_flops()) // (2 * self.batch)

    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """The module's own tensors by their keys, those in half precision as 32 bits."""
        return {key: _array(tensor) for key, tensor in self.state.items()}

    def outputs(self, tensors: Mapping[str, NDArray[Any]], batch: NDArray[np.float32]) -> list[NDArray[Any]]:
        """What the module gives at inference for a batch, run as it is: what is written in place is."""
        ran = _run(self.inference, _state(tensors), torch.from_numpy(batch), in_place=True)
        found = {node.name: value for node, value in ran if node.name in self.given}
        return [found[name].numpy() for name in self.given]

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
    return _single(tensor.detach().cpu()).contiguous().numpy()


def _single(tensor: Tensor) -> Tensor:
    """A tensor in float32, unless it has no fractions."""
    return tensor.float() if tensor.is_floating_point() else tensor


@torch.no_grad()
def _run(
    program: ExportedProgram,
    state: Mapping[str, Tensor],
    batch: Tensor,
    only: Collection[fx.Node] | None = None,
    *,
    in_place: bool = False,
) -> Iterator[tuple[fx.Node, Any]]:
    """Each node (or `only` some) that gives a tensor, with it, at inference also where the program is that of training.

    Nothing is written in place unless that is asked for, and what was given stays as it is.
    """
    written = written_inputs(program.graph) if in_place else ()
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
            if node in written and isinstance(values[node], Tensor):
                values[node] = values[node].clone()
        elif node.op == "call_function" and (only is None or node in only):
            args, kwargs = pytree.tree_map(
                lambda each, now=reads[node]: values[now[each]] if isinstance(each, fx.Node) else each,
                (node.args, dict(node.kwargs)),
                is_leaf=_is_node,
            )
            if kwargs.get("device") is not None:
                kwargs["device"] = batch.device
            values[node] = _called(node, args, kwargs, in_place=in_place)
            if isinstance(values[node], Tensor):
                yield node, values[node]
            for read in done_after.get(node, ()):
                values.pop(read, None)


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


def _called(node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any], *, in_place: bool) -> Any:
    """What a node gives: at inference, and without writing over what it reads unless that is asked for."""
    target: Any = node.target
    name = base_name(target)
    if name.removesuffix("_") in ("dropout", "feature_dropout", "alpha_dropout"):
        return args[0]
    if name.removesuffix("_") == "bernoulli" or node.meta.get(NOISE):
        device = next((each.device for each in args if isinstance(each, Tensor)), kwargs.get("device"))
        return torch.ones(node.meta["val"].shape, device=device)  # every path is kept
    if name in ("batch_norm", "instance_norm"):
        return _norm_at_inference(target, args)
    if in_place or not writes_in_place(target):
        return target(*args, **kwargs)
    packet = getattr(torch.ops.aten, name.removesuffix("_"))
    return getattr(packet, target._overloadname or "default", packet)(*args, **kwargs)


def _norm_at_inference(target: Any, args: tuple[Any, ...]) -> Any:
    """A norm that takes its running statistics, where it keeps any: the sixth argument says whether it does not."""
    return target(*args[:5], args[3] is None, *args[6:])
