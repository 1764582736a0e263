"""What torch's own operators are here: the one table of them, by their names without the mark of working in place."""

from __future__ import annotations

from torch import fx

from cnnspec.torch_backend.aten_layers import LAYERS
from cnnspec.torch_backend.aten_shapes import SHAPES
from cnnspec.torch_backend.aten_values import VALUES
from cnnspec.torch_backend.program_values import Arguments, Missing, Value, base_name

__all__ = ["read_call"]

_MEANT = {
    **dict.fromkeys(
        ("matmul", "bmm", "mm", "einsum", "scaled_dot_product_attention"), "a product of two layers' values"
    ),
}


def read_call(node: fx.Node, arguments: Arguments) -> Value:
    """What a node stands for: a value, a `Made`, a list of such in turn, or a tuple of several results.

    Raises Missing where there is nothing for it.
    """
    name = base_name(node.target)
    for known in (name, name.removesuffix("_")):
        for rules in (LAYERS, SHAPES, VALUES):
            if known in rules:
                return rules[known](node, arguments)
    raise Missing(_MEANT.get(name, f"there is no operator for torch's {name}"))
