"""Whether source that was written for a network is that network: it is run, and held to our own build of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor, nn

from cnnspec.codegen import Written
from cnnspec.errors import CnnspecError, VerificationError
from cnnspec.graph import Graph
from cnnspec.torch_backend.build import build_module

__all__ = ["check_code"]

_SEED: Final = 0
_BATCH: Final = 2  # a norm in training wants several values of each channel
_WITHOUT: Final = "`--no-verify` writes the source without the comparison"
_SHOWN: Final = 3  # names listed in a message


def check_code(written: Written, graph: Graph) -> list[str]:
    """What was found equal: the tensors, and the outputs bit for bit in evaluation and in training.

    The source runs in a namespace of its own, on the CPU. Both networks have the same random weights, and in training
    the same random numbers. Raises VerificationError where they differ, CnnspecError where it cannot be built.
    """
    try:
        own = build_module(graph, device="meta")
    except SyntaxError as error:  # torch.fx writes a forward of its own, with names as they are
        raise CnnspecError("torch.fx cannot call a layer by a word of Python's", hint=_WITHOUT) from error
    made = _made(written)
    checks = [_check_tensors(own, made)]
    with _alone():
        torch.manual_seed(_SEED)
        try:
            weights = build_module(graph, device="cpu").state_dict()
            image = torch.randn(_BATCH, *graph.input_shape)
        except RuntimeError as error:  # of memory that there is not
            raise CnnspecError(f"the comparison cannot be made: {error!s:.200}", hint=_WITHOUT) from error
        for mode, name in ((False, "in evaluation"), (True, "in training")):
            first, second = (_run(module, weights, image, mode) for module in (own, made))
            checks.append(_check_outputs(first, second, name))
    return checks


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """What is drawn here changes nothing outside."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        yield


def _made(written: Written) -> nn.Module:
    """The network that the source makes, without memory for its weights."""
    namespace: dict[str, object] = {"__name__": "network"}
    try:
        exec(compile(written.text, f"<{written.name}>", "exec"), namespace)
        kind = namespace[written.name]
        assert isinstance(kind, type)
        with torch.device("meta"):
            module = kind()
    except Exception as error:
        raise _differs(f"it does not run: {type(error).__name__}: {error}") from error
    assert isinstance(module, nn.Module)
    return module


def _differs(what: str) -> VerificationError:
    return VerificationError(f"the source is not the network: {what}", hint="please report it; nothing was written")


def _check_tensors(own: nn.Module, made: nn.Module) -> str:
    sides = [
        {name: (tuple(tensor.shape), tensor.dtype, name in parameters) for name, tensor in module.state_dict().items()}
        for module in (own, made)
        for parameters in [dict(module.named_parameters())]
    ]
    first, second = sides
    if list(first) != list(second):
        others = [name for name in [*first, *second] if (name in first) != (name in second)]
        what = f"tensors differ: {', '.join(others[:_SHOWN])}" if others else "tensors are in another order"
        raise _differs(what)
    wrong = [name for name in first if first[name] != second[name]]
    if wrong:
        raise _differs(f"tensors are of another shape or kind: {', '.join(wrong[:_SHOWN])}")
    return f"{len(first)} tensors: equal names, order and shapes"


Result = tuple[dict[str, Tensor], dict[str, Tensor]]  # outputs by name, and the tensors afterwards


def _run(module: nn.Module, weights: dict[str, Tensor], image: Tensor, training: bool) -> Result | str:
    """What a network gives with these weights, and its tensors afterwards; what torch says where it refuses."""
    names = dict(module.named_parameters())
    own = {name: tensor if name in names else tensor.clone() for name, tensor in weights.items()}
    module.load_state_dict(own, assign=True)
    module.train(training)
    torch.manual_seed(_SEED)
    try:
        given = module(image.clone())
    except (RuntimeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    outputs = given if isinstance(given, dict) else {"": given}
    return outputs, {name: tensor for name, tensor in module.state_dict().items() if name not in names}


def _check_outputs(own: Result | str, made: Result | str, mode: str) -> str:
    if isinstance(own, str) or isinstance(made, str):
        if isinstance(own, str) and isinstance(made, str):
            return f"{mode} torch refuses both: {own.splitlines()[0]:.100}"
        raise _differs(f"{mode} torch refuses one of them: {own if isinstance(own, str) else made:.200}")
    (outputs, buffers), (others, other_buffers) = own, made
    if list(outputs) != list(others):
        raise _differs(f"{mode} it gives {', '.join(others)}, and not {', '.join(outputs)}")
    for name, tensor in outputs.items():
        if not _equal(tensor, others[name]):
            raise _differs(f"{mode} the output {name} differs".replace("  ", " "))
    for name, tensor in buffers.items():
        if not _equal(tensor, other_buffers[name]):
            raise _differs(f"{mode} the buffer {name} differs afterwards")
    several = f"{len(outputs)} outputs" if len(outputs) > 1 else "the output"
    return f"{several} {mode}: equal bit for bit"


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype and torch.allclose(one, other, 0, 0, equal_nan=True)
