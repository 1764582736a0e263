"""A built network with the same parameters, names and results, arranged so that a training step takes less time."""

from __future__ import annotations

from typing import Final

from torch import Tensor, fx, nn
from torch.nn import functional

from cnnspec.graph import Graph
from cnnspec.ops.conv import Conv
from cnnspec.torch_backend.build import ModeModule

__all__ = ["WholeConv2d", "multiply_whole", "pool_first", "rectify_in_place"]

# Modules whose backward pass does not read what they gave back
_LETS_GO: Final = (nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d)
_LAST: Final = (0, 2, 3, 1)  # the axes of a tensor with channels last, as they lie in memory


class WholeConv2d(nn.Module):
    """A convolution whose kernel covers its whole input: one product of matrices, with the convolution's parameters."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, C, H, W) -> (batch, out, 1, 1)`."""
        x, weight = input, self.weight
        if not weight.is_contiguous():
            x, weight = x.permute(_LAST), weight.permute(_LAST)
        return functional.linear(x.flatten(1), weight.flatten(1), self.bias)[:, :, None, None]


def multiply_whole(module: fx.GraphModule, graph: Graph) -> None:
    """Make each convolution whose kernel is as large as its input a product of matrices, equal up to rounding.

    On the CPU the product is several times as fast as the convolution, in both directions.
    """
    for node in graph:
        op = node.op
        if not isinstance(op, Conv) or op.rank != 2 or op.groups != 1:
            continue
        if op.kernel_size == node.input_shapes[0][1:] and op.padding in ((0, 0), "valid"):
            parent, _, leaf = node.name.rpartition(".")
            conv = module.get_submodule(node.name)
            assert isinstance(conv, nn.Conv2d)
            module.get_submodule(parent).add_module(leaf, WholeConv2d(conv))


def pool_first(module: fx.GraphModule) -> None:
    """Run each max pool before the ReLU that it alone reads: the same outputs and gradients, bit for bit.

    The largest of the rectified values is the rectified largest value; and where all of a window are negative, ReLU
    passes no gradient on, wherever in the window it would go.
    """
    for graph in _graphs(module):
        for pool in [node for node in graph.nodes if _calls(module, node, nn.MaxPool2d)]:
            (relu,) = pool.all_input_nodes
            if _calls(module, relu, nn.ReLU) and len(relu.users) == 1:
                pool.replace_all_uses_with(relu)
                pool.args, relu.args = relu.args, (pool,)
                relu.prepend(pool)
        graph.lint()
    if isinstance(module, ModeModule):
        module.train(module.training)
    else:
        module.recompile()


def rectify_in_place(module: fx.GraphModule) -> None:
    """Let each ReLU overwrite what it reads, where nothing else needs that: the same figures in less memory."""
    free: set[str] = set()
    kept: set[str] = set()
    for graph in _graphs(module):
        for node in [node for node in graph.nodes if _calls(module, node, nn.ReLU)]:
            (read,) = node.all_input_nodes
            alone = _calls(module, read, _LETS_GO) and len(read.users) == 1
            (free if alone else kept).add(str(node.target))
    for name in free - kept:
        relu = module.get_submodule(name)
        assert isinstance(relu, nn.ReLU)
        relu.inplace = True


def _graphs(module: fx.GraphModule) -> list[fx.Graph]:
    return list(module.graphs.values()) if isinstance(module, ModeModule) else [module.graph]


def _calls(module: fx.GraphModule, node: fx.Node, kind: type[nn.Module] | tuple[type[nn.Module], ...]) -> bool:
    return node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), kind)
