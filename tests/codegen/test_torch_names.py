"""The names that torch's arguments by position have are torch's."""

from __future__ import annotations

import inspect

from cases import ROWS
from torch import nn

from cnnspec.codegen.torch_names import torch_names
from cnnspec.ops import make_op
from cnnspec.ops.torch_call import torch_call
from cnnspec.torch_backend import modules


def test_they_are_those_of_the_signatures() -> None:
    checked = 0
    for name, rows in ROWS.items():
        for arguments, shapes in rows:
            op = make_op(name, **arguments)
            call, names = torch_call(op, *shapes), torch_names(op)
            assert len(names) == len(call.arguments) or call.kind == "module"
            if call.kind == "module":
                kind = getattr(nn, call.name.removeprefix("nn.")) if "." in call.name else getattr(modules, call.name)
                signature = tuple(inspect.signature(kind).parameters)
                assert names[: len(call.arguments)] == signature[: len(call.arguments)]
                assert len(names) >= len(call.arguments)
                checked += 1
    assert checked > 100


def test_modules_of_our_own_have_the_defaults_of_their_operators() -> None:
    checked = 0
    for name, rows in ROWS.items():
        arguments, shapes = rows[0]
        op = make_op(name, **arguments)
        call = torch_call(op, *shapes)
        if call.kind == "module" and "." not in call.name:
            for parameter in inspect.signature(getattr(modules, call.name)).parameters.values():
                if parameter.default is not parameter.empty and parameter.name in op.fields():
                    assert parameter.default == op.fields()[parameter.name].default
                    checked += 1
    assert checked > 8
