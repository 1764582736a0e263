"""A live torch module to what it computes: `torch.export` says the calls, the modules they ran in and their tensors.

Nothing is computed: the export works on tensors without values.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from cnnspec.errors import CnnspecError
from cnnspec.foreign.network import Network
from cnnspec.ops import Shape
from cnnspec.torch_backend.program_reader import BATCH, ProgramReader

__all__ = ["Captured", "capture", "read_program"]


@dataclass(frozen=True)
class Captured:
    """A module as a network, and what it takes to run it call by call."""

    network: Network
    program: ExportedProgram
    made_by: Mapping[str, str]  # of each call, the node of the program


def capture(module: nn.Module, input_shape: Shape, name: str) -> Captured:
    """What a module computes at inference for one sample of this shape. The module stays as it is.

    Raises CnnspecError where torch cannot export it.
    """
    empty = _without_values(module).eval()
    example = torch.zeros((BATCH, *input_shape), device="meta")
    classes = {path: type(each).__name__ for path, each in module.named_modules()}
    return read_program(_exported(empty, example, name), name, classes)


def read_program(program: ExportedProgram, name: str, classes: Mapping[str, str]) -> Captured:
    """What an exported program computes."""
    reader = ProgramReader(program, name, classes)
    return Captured(reader.read(), program, reader.made_by)


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
