"""What an operator is in torch, as data: it can be written as source, and is what is built."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
from cases import ROWS
from torch import Tensor, nn

from cnnspec.ops import Shape, make_op
from cnnspec.ops.torch_call import spelled, torch_call
from cnnspec.torch_backend import modules
from cnnspec.torch_backend.layers import Trained, layer

NAMES = {"nn": nn, "torch": torch, "operator": operator, **{name: getattr(modules, name) for name in modules.__all__}}
NAMED = [pytest.param(name, *row, id=f"{name}-{i}") for name, rows in ROWS.items() for i, row in enumerate(rows)]


def source(name: str, *arguments: object, **named: object) -> str:
    return f"{name}({', '.join([*map(str, arguments), *(f'{key}={spelled(value)}' for key, value in named.items())])})"


@pytest.mark.parametrize(("name", "args", "shapes"), NAMED)
def test_as_source_it_is_what_is_built(name: str, args: dict[str, Any], shapes: tuple[Shape, ...]) -> None:
    op = make_op(name, **args)
    call, built = torch_call(op, *shapes), layer(op, *shapes)
    reads = [torch.randn(2, *shape) for shape in shapes]
    here = NAMES | {f"x{i}": read for i, read in enumerate(reads)}
    words = [f"x{i}" for i in range(len(reads))]
    arguments = [spelled(argument) for argument in call.arguments]
    match call.kind:
        case "module":
            assert repr(eval(source(call.name, *arguments, **call.named), here)) == repr(built)
            return
        case "factor" | "term":
            assert isinstance(built, Trained)
            assert torch.equal(eval(source(call.name, *arguments), here), built.parameter)
            assert built.join is {"factor": torch.mul, "term": torch.add}[call.kind]
            return
        case "function":
            text = source(call.name, words[0], *arguments, **call.named)
        case "reads":
            text = source(call.name, f"[{', '.join(words)}]", *arguments)
        case "fold":
            text = words[0]
            for word in words[1:]:
                text = source(call.name, text, word)
    assert callable(built)
    expected: Tensor = built(*reads)
    assert torch.equal(eval(text, here), expected)
