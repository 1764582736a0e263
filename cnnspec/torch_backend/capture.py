"""A live torch module to what it computes: `torch.export` says the calls, the modules they ran in and their tensors.

Nothing is computed: the export works on tensors without values.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.foreign.training import with_training
from cnnspec.ops import Shape, show_shape
from cnnspec.torch_backend.aten_shapes import LEFT_OUT
from cnnspec.torch_backend.captured import Captured
from cnnspec.torch_backend.origins import place_of
from cnnspec.torch_backend.parametrized import copied, without_parametrizations
from cnnspec.torch_backend.program_inlined import put_inline
from cnnspec.torch_backend.program_reader import ProgramReader
from cnnspec.torch_backend.program_values import BATCH, base_name, bound

__all__ = ["capture", "load_program", "read_program"]

_FOLDED: Final = "parametrisations, as weight norm, are folded into their weights, {} in all: training trains those"
_USUAL_MOMENTUM: Final = 0.1  # torch's default
_DROPS: Final = "it drops values at inference too, as `F.dropout(x)` without `training=` does: here in training only"
_OTHER_FLOATS: Final = "its weights in {} are kept in float32"
_MOMENTUM: Final = "{} of its batch norms averages over all batches: here its momentum is {:g}"


def capture(module: nn.Module, input_shape: Shape, name: str) -> Captured:
    """What a module computes for one sample of this shape, at inference and in training. It stays as it is.

    Raises CnnspecError where torch cannot export it.
    """
    try:
        module, folded = without_parametrizations(module)
        empty, notes = _without_values(module)
    except UsageError:
        raise
    except Exception as error:  # whatever else somebody's module holds
        hint = "what it holds besides modules and tensors, as locks and open files, is in the way"
        raise CnnspecError(f"{name} cannot be copied: {_reason(error)}", hint=hint) from error
    classes = {path: type(each).__name__ for path, each in module.named_modules()}
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    example = torch.zeros((BATCH, *input_shape), device="meta")
    try:
        inference = _exported(empty.eval(), example, name)
    except _MixedDevicesError:  # it makes tensors of its own, which are none of the meta device
        empty, example = empty.to_empty(device="cpu"), torch.zeros_like(example, device="cpu")
        inference = _exported(empty.eval(), example, name)
    found = read_program(inference, name, classes, state)
    if any(map(_drops, inference.graph.nodes)):
        notes.append(_DROPS)
    if folded:
        notes.append(_FOLDED.format(folded))
    found = _with_notes(found, *notes)
    try:
        training = _exported(empty.train(), example, name)
        trained = read_program(training, name, classes, state)
    except CnnspecError as error:
        return _with_notes(found, f"what it does in training is not known: {error.message}")
    both = with_training(found.network, trained.network)
    if both is None:
        return _with_notes(found, "in training it computes something else, of which the spec says nothing")
    return replace(trained, network=both, inference=inference, given=found.given)


def read_program(
    program: ExportedProgram, name: str, classes: Mapping[str, str], state: Mapping[str, Tensor]
) -> Captured:
    """What an exported program computes; `state` has the tensors by their names in it."""
    put_inline(program)
    reader = ProgramReader(program, name, classes, state)
    network = reader.read()
    batch = reader.batch if isinstance(reader.batch, int) else BATCH
    return Captured(network, program, program, reader.made_by, state, reader.given, batch)


def _with_notes(found: Captured, *notes: str) -> Captured:
    return replace(found, network=replace(found.network, notes=(*found.network.notes, *notes)))


def _drops(node: fx.Node) -> bool:
    """Whether a node drops values, in a program of inference."""
    if base_name(node.target).removesuffix("_") not in ("dropout", *LEFT_OUT):
        return False
    arguments = bound(node)
    return bool(arguments.get("train")) and bool(arguments.get("p"))


class _MixedDevicesError(CnnspecError):
    """A module puts together what lies on the meta device and what does not."""


def _exported(module: nn.Module, example: Tensor, name: str) -> ExportedProgram:
    try:
        with warnings.catch_warnings(action="ignore"), _quiet():
            return torch.export.export(module, (example,), strict=False)
    except GuardOnDataDependentSymNode as error:
        where = place_of(error)
        raise CnnspecError(
            f"{name} decides by the values of a tensor{where}, and a spec computes the same for every input",
            hint="take the branch out, or import the part that has none",
        ) from error
    except Exception as error:  # the code of the module is anybody's
        if "missing a required argument" in str(error):
            raise CnnspecError(
                f"{name} reads several inputs, and a spec has one: {error}",
                hint="a module around it may fill in the others, or import the part that reads one",
            ) from error
        hint = f"it was tried with the input {show_shape(tuple(example.shape[1:]))}; `--input` gives it another"
        mixed = example.is_meta and "meta" in str(error)
        kind = _MixedDevicesError if mixed else CnnspecError
        raise kind(f"torch cannot export {name}: {_reason(error)}", hint=hint) from error


def _without_values(module: nn.Module) -> tuple[nn.Module, list[str]]:
    """A copy of a module on the meta device in float32, and what has to be said of it.

    Raises UsageError for layers whose sizes are not known yet.
    """
    if any(is_lazy(parameter) for parameter in [*module.parameters(), *module.buffers()]):
        hint = "call the module once with an example"
        raise UsageError("the module has lazy layers, whose sizes are not known yet", hint=hint)
    memo: dict[int, Any] = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        made = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
    empty, notes = copied(module, memo), []
    kinds = {each.dtype: None for each in module.state_dict().values() if each.is_floating_point()}
    if others := [str(kind).removeprefix("torch.") for kind in kinds if kind != torch.float32]:
        empty = empty.float()
        notes.append(_OTHER_FLOATS.format(" and ".join(others)))
    norms = [each for each in empty.modules() if isinstance(each, _BatchNorm) and each.momentum is None]
    for norm in norms:
        norm.momentum = _USUAL_MOMENTUM
    if norms:
        notes.append(_MOMENTUM.format(len(norms), _USUAL_MOMENTUM))
    return empty, notes


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._dynamo", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):  # torch prints the half of a graph that it came to
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def load_program(path: Path, name: str) -> Captured:
    """What `torch.export.save` wrote. Torch unpickles it, which can run code. Raises UsageError and CnnspecError."""
    if not path.is_file():
        raise UsageError(f"there is no file {path}")
    try:
        with warnings.catch_warnings(action="ignore"), _quiet():
            program = torch.export.load(path)
    except Exception as error:  # torch's reader raises whatever a damaged file makes it stumble over
        hint = "`torch.export.save` writes one; a `state_dict` or TorchScript is none: name the code, `net.py:factory`"
        raise CnnspecError(f"{path} cannot be read as an exported program: {_reason(error)}", hint=hint) from error
    state = {key: value for key, value in program.state_dict.items() if isinstance(value, Tensor)}
    return read_program(program, name, _classes(program), state)


def _classes(program: ExportedProgram) -> dict[str, str]:
    """The classes of the modules, as far as calls ran in them."""
    found: dict[str, str] = {}
    for node in program.graph.nodes:
        for path, kind in (node.meta.get("nn_module_stack") or {}).values():
            found.setdefault(path, str(kind).rpartition(".")[2])
    return found


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
