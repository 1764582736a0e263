"""A live torch module to what it computes: `torch.export` says the calls, the modules they ran in and their tensors.

Nothing is computed: the export works on tensors without values.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from cnnspec.errors import CnnspecError
from cnnspec.foreign.training import with_training
from cnnspec.ops import Shape
from cnnspec.torch_backend.captured import Captured
from cnnspec.torch_backend.program_reader import ProgramReader
from cnnspec.torch_backend.program_values import BATCH

__all__ = ["capture", "read_program"]


def capture(module: nn.Module, input_shape: Shape, name: str) -> Captured:
    """What a module computes for one sample of this shape, at inference and in training. It stays as it is.

    Raises CnnspecError where torch cannot export it.
    """
    classes = {path: type(each).__name__ for path, each in module.named_modules()}
    state = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    empty = _without_values(module)
    example = torch.zeros((BATCH, *input_shape), device="meta")
    inference = _exported(empty.eval(), example, name)
    found = read_program(inference, name, classes, state)
    try:
        training = _exported(empty.train(), example, name)
        trained = read_program(training, name, classes, state)
    except CnnspecError as error:
        return _with_note(found, f"what it does in training is not known: {error.message}")
    both = with_training(found.network, trained.network)
    if both is None:
        return _with_note(found, "in training it computes something else, of which the spec says nothing")
    return replace(trained, network=both, inference=inference)


def read_program(
    program: ExportedProgram, name: str, classes: Mapping[str, str], state: Mapping[str, Tensor]
) -> Captured:
    """What an exported program computes; `state` has the tensors by their names in it."""
    reader = ProgramReader(program, name, classes)
    return Captured(reader.read(), program, program, reader.made_by, state)


def _with_note(found: Captured, note: str) -> Captured:
    return replace(found, network=replace(found.network, notes=(*found.network.notes, note)))


def _exported(module: nn.Module, example: Tensor, name: str) -> ExportedProgram:
    try:
        with warnings.catch_warnings(action="ignore"), _quiet():
            return torch.export.export(module, (example,), strict=False)
    except Exception as error:  # the code of the module is anybody's
        reason = str(error).strip().splitlines()
        raise CnnspecError(
            f"torch cannot export {name}: {type(error).__name__}: {reason[0] if reason else ''}"[:300],
            hint="`--input` says for which input, such as 3x224x224",
        ) from error


def _without_values(module: nn.Module) -> nn.Module:
    """A copy of a module on the meta device."""
    memo: dict[int, Any] = {}
    for tensor in [*module.parameters(), *module.buffers()]:
        made = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(made, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else made
    return copy.deepcopy(module, memo)


@contextmanager
def _quiet() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._dynamo", "torch.fx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
