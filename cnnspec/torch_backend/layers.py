"""What each operator is in torch, built: what `ops/torch_call.py` says is looked up and called."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any, Final, NamedTuple, TypeAlias, assert_never

import torch
from torch import nn

from cnnspec.ops import AnyOp, Shape
from cnnspec.ops.torch_call import torch_call
from cnnspec.torch_backend import modules

__all__ = ["Function", "Layer", "Trained", "layer"]

Function: TypeAlias = Callable[..., Any]  # of tensors, or of the fx proxies that stand for them


class Trained(NamedTuple):
    """A parameter by itself, and what joins it with what is read."""

    parameter: nn.Parameter
    join: Function


Layer: TypeAlias = nn.Module | Trained | Function

NAMESPACES: Final = {"": modules, "nn": nn, "torch": torch, "operator": operator}


def layer(op: AnyOp, *inputs: Shape) -> Layer:
    """The torch form of `op` for these input shapes (without the batch axis), freshly initialised as torch does.

    It is a module, or a function of the tensors that it reads, or a parameter that is joined with what it reads.
    """
    call = torch_call(op, *inputs)
    namespace, _, name = call.name.rpartition(".")
    called: Callable[..., Any] = getattr(NAMESPACES[namespace], name)
    match call.kind:
        case "module":
            module: nn.Module = called(*call.arguments, **call.named)
            return module
        case "factor" | "term":
            join = torch.mul if call.kind == "factor" else torch.add
            return Trained(nn.Parameter(called(*call.arguments, **call.named)), join)
        case "fold":
            return partial(_folded, called)
        case "function":
            return partial(_with_read, called, call.arguments, call.named)
        case "reads":
            return partial(_with_reads, called, call.arguments)
        case _:
            assert_never(call.kind)


def _folded(join: Function, *reads: Any) -> Any:
    return reduce(join, reads)


def _with_read(function: Function, arguments: tuple[Any, ...], named: Mapping[str, Any], read: Any) -> Any:
    return function(read, *arguments, **named)


def _with_reads(function: Function, arguments: tuple[Any, ...], *reads: Any) -> Any:
    return function(reads, *arguments)
