"""The names that torch's arguments by position have are torch's."""

from __future__ import annotations

import inspect

from ops.cases import ROWS
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
