"""A rewritten network has the same parameters and results as the one that it was."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import fx, nn

import cnnspec
from cnnspec.torch_backend import build_module
from cnnspec.torch_backend.rewrite import WholeConv2d, multiply_whole, pool_first, rectify_in_place

LAYOUTS = (torch.contiguous_format, torch.channels_last)
HEAD = "cnnspec: 1\nname: a\ninput: {shape: [3, 8, 8]}\n"
POOLED = f"""{HEAD}layers:
  conv1: Conv2d(4, 3, padding=1)
  relu1: ReLU
  pool1: MaxPool2d(2)
  conv2: Conv2d(4, 3, padding=1)
  relu2: ReLU(inplace=True)
  pool2: MaxPool2d(3, stride=1, padding=1)
  flatten: Flatten
  fc: Linear(5)
"""
WITH_HEAD = POOLED + "  head: Linear(5)(flatten)\noutputs: [fc]\naux_outputs: [head]\n"


def swapped(module: fx.GraphModule) -> list[tuple[str, str]]:
    """Each pool with the ReLU that reads it."""
    return [
        (str(node.all_input_nodes[0].target), str(node.target))
        for node in module.graph.nodes
        if node.op == "call_module" and isinstance(module.get_submodule(str(node.target)), nn.ReLU)
        if isinstance(module.get_submodule(str(node.all_input_nodes[0].target)), nn.MaxPool2d)
    ]


def results(module: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """The outputs for `x`, and the gradients with respect to it and to all parameters."""
    x = x.clone().requires_grad_()
    found = module(x)
    outputs = list(found.values()) if isinstance(found, dict) else [found]
    module.zero_grad()
    sum(output.square().sum() for output in outputs).backward()
    assert x.grad is not None
    return [*outputs, x.grad, *(parameter.grad for parameter in module.parameters() if parameter.grad is not None)]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("text", [POOLED, WITH_HEAD])
def test_pooling_before_relu_changes_no_bit(text: str, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    plain = build_module(cnnspec.loads(text).graph).to(memory_format=layout)
    with torch.no_grad():
        plain.get_parameter("conv1.bias").copy_(torch.tensor([-0.3, 0.0, 0.1, 9.0]))  # many windows without a positive
    quick = copy.deepcopy(plain)
    pool_first(quick)
    x = torch.randn(16, 3, 8, 8).to(memory_format=layout)
    x[:4] = x[:4].round()  # ties
    for mode in (True, False):
        plain.train(mode)
        quick.train(mode)
        assert swapped(quick) == [("pool1", "relu1"), ("pool2", "relu2")]
        wanted, found = results(plain, x), results(quick, x)
        assert len(wanted) == len(found) > 6
        assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))
    assert list(plain.state_dict()) == list(quick.state_dict())


BRANCHES = f"""{HEAD}layers:
  conv1: Conv2d(4, 3, padding=1)
  bn1: BatchNorm2d
  relu1: ReLU
  pool: AvgPool2d(2)
  relu2: ReLU
  tanh: Tanh
  relu3: ReLU
  conv2: Conv2d(4, 3, padding=1)
  relu4: ReLU
  sum: Add(conv2, relu4)
  relu5: ReLU
  conv3: Conv2d(4, 3, padding=1)
  relu6: ReLU
  flatten: Flatten
  fc: Linear(5)
  relu7: ReLU
  head: Flatten()(conv3)
outputs: [relu7]
aux_outputs: [head]
"""


@pytest.mark.parametrize("first", [True, False])
def test_relu_in_place_changes_no_bit_and_overwrites_nothing_that_is_needed(first: bool) -> None:
    torch.manual_seed(0)
    plain = build_module(cnnspec.loads(BRANCHES).graph)
    quick = copy.deepcopy(plain)
    if first:
        pool_first(quick)
    rectify_in_place(quick)
    in_place = [name for name, part in quick.named_modules() if isinstance(part, nn.ReLU) and part.inplace]
    assert in_place == ["relu1", "relu2", "relu7"]  # relu6 reads what the head reads too, but in training only
    x = torch.randn(16, 3, 8, 8)
    for mode in (True, False):
        plain.train(mode)
        quick.train(mode)
        wanted, found = results(plain, x), results(quick, x)
        assert len(wanted) == len(found) > 6
        assert all(torch.equal(a, b) for a, b in zip(wanted, found, strict=True))


@pytest.mark.parametrize(
    "body",
    [
        "  relu: Tanh\n  pool: MaxPool2d(2)\n",
        "  relu: ReLU\n  pool: AvgPool2d(2)\n",
        "  relu: ReLU\n  pool: MaxPool2d(2)\n  other: AvgPool2d(2)(relu)\n  sum: Add(pool, other)\n",
    ],
)
def test_nothing_else_changes_places(body: str) -> None:
    module = build_module(cnnspec.loads(f"{HEAD}layers:\n  conv: Conv2d(4, 3)\n{body}").graph)
    before = module.code
    pool_first(module)
    assert module.code == before


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(16, 5, 5), (3, 4, 2), (8, 1, 1), (1, 3, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_of_the_whole_input_is_a_product(
    shape: tuple[int, ...], bias: bool, layout: torch.memory_format
) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(shape[0], 7, shape[1:], bias=bias).to(memory_format=layout)
    x = torch.randn(4, *shape).to(memory_format=layout)
    for wanted, found in zip(results(conv, x), results(WholeConv2d(conv), x), strict=True):
        assert wanted.shape == found.shape
        assert torch.allclose(wanted, found, rtol=1e-4, atol=1e-5)


def test_only_such_convolutions_are_replaced() -> None:
    text = f"""{HEAD}layers:
  padded: Conv2d(4, 8, stride=8, padding=4)
  all: Conv2d(4, 2)
  one: Conv2d(4, 1, padding="valid")
  groups: Conv2d(4, 1, groups=2)
"""
    graph = cnnspec.loads(text).graph
    module = build_module(graph)
    before = module.state_dict()
    multiply_whole(module, graph)
    assert [name for name, part in module.named_modules() if isinstance(part, WholeConv2d)] == ["all", "one"]
    after = module.state_dict()
    assert list(before) == list(after)
    assert all(before[name] is after[name] or torch.equal(before[name], after[name]) for name in before)


def test_lenet5_keeps_its_results() -> None:
    torch.manual_seed(0)
    graph = cnnspec.load("lenet5").graph
    plain = build_module(graph)
    quick = copy.deepcopy(plain)
    multiply_whole(quick, graph)
    assert isinstance(quick.C5, WholeConv2d)
    for wanted, found in zip(*(results(module, torch.randn(8, 1, 28, 28, generator=torch.Generator().manual_seed(1)))
                               for module in (plain, quick)), strict=True):  # fmt: skip
        assert torch.allclose(wanted, found, rtol=1e-4, atol=1e-5)
