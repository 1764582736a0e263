"""Memory against torch: what autograd keeps, and which tensors live."""

from __future__ import annotations

from random import Random

import pytest
import torch
from random_graphs import random_spec
from torch_memory import kept_by_autograd, peak_of_live_tensors

import cnnspec
from cnnspec import SpecError, zoo
from cnnspec.analysis.memory import peak_inference, training_memory
from cnnspec.graph import Graph

SMALL = 60_000_000  # parameters of the networks that are run in full


def bundled() -> list[str]:
    return list(zoo.names())


def kept_bytes(graph: Graph, batch: int) -> int:
    return training_memory(graph, batch=batch).kept


def check(graph: Graph, *, run: bool = True) -> None:
    assert kept_bytes(graph, 2) == kept_by_autograd(graph, 2)
    if run:
        assert peak_inference(graph, batch=1) == peak_of_live_tensors(graph, 1)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("arguments", ["2", "2, stride=1", "3", "4"])
def test_norm_pools_hold_what_torch_holds(rank: int, arguments: str) -> None:
    text = f"cnnspec: 1\ninput: {[4] + [12] * rank}\nlayers:\n  - LPPool{rank}d(2, kernel_size={arguments})\n"
    check(cnnspec.loads(text).graph)


def test_random_graphs_hold_what_torch_holds() -> None:
    torch.set_num_threads(1)
    compared = 0
    for seed in range(250):
        try:
            graph = cnnspec.loads(random_spec(Random(seed)), path="random.json").graph
        except SpecError:
            continue
        check(graph)
        compared += 1
    assert compared >= 125


@pytest.mark.parametrize(
    "reads",
    [
        "gate, gate, conv",
        "gate, gate, input",
        "high, wide, input",
        "input, high, wide",
        "input, input, conv",
        "gate, high, conv, wide",
        "conv, input",
        "input, high, input, conv",
    ],
)
def test_products_of_several_factors_hold_what_torch_holds(reads: str) -> None:
    text = (
        "cnnspec: 1\ninput: [4, 8, 6]\nlayers:\n  conv: Conv2d(4, 1)\n  gates: AdaptiveAvgPool2d(1)(input)\n"
        "  gate: Conv2d(4, 1)\n  pool: AdaptiveAvgPool2d([8, 1])(input)\n  high: Conv2d(4, 1)\n"
        f"  strip: AdaptiveAvgPool2d([1, 6])(input)\n  wide: Conv2d(4, 1)\n  mul: Mul({reads})\n  last: Conv2d(2, 1)\n"
    )
    check(cnnspec.loads(text).graph)


ACTIVATIONS = ["ReLU", "ReLU6", "LeakyReLU", "ELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Hardtanh"]
OTHERS = ["PReLU", "GELU", "Softplus", "Tanh", "Sigmoid", "Softmax", "LogSoftmax"]
OTHERS += ["Dropout", "Dropout(0.0)", "StochasticDepth(0.2)"]
NORMS = [
    "GroupNorm(2)",
    "LayerNorm",
    "LayerNorm2d",
    "LocalResponseNorm(5)",
    "InstanceNorm2d",
    "BatchNorm2d(affine=False)",
]
NORMS += ["InstanceNorm2d(affine=True)", "InstanceNorm2d(track_running_stats=True)"]
SHAPES = ["LPPool2d(2, kernel_size=2)", "AdaptiveMaxPool2d(2)", "AdaptiveAvgPool2d(3)", "PixelShuffle(2)"]
SHAPES += ["ChannelShuffle(2)", "Slice(1, 3)", "Upsample(scale_factor=2)", "Permute([0, 2, 3, 1])", "Scale(0.1)"]


@pytest.mark.parametrize(
    "line", [*ACTIVATIONS, *(f"{name}(inplace=True)" for name in ACTIVATIONS), *OTHERS, *NORMS, *SHAPES]
)
def test_every_operator_holds_what_torch_holds(line: str) -> None:
    text = f"cnnspec: 1\ninput: [4, 12, 12]\nlayers:\n  - Conv2d(8, 3)\n  - {line}\n  - Flatten\n  - Linear(3)\n"
    graph = cnnspec.loads(text).graph
    assert kept_bytes(graph, 2) == kept_by_autograd(graph, 2)
    assert peak_inference(graph, batch=2) == peak_of_live_tensors(graph, 2)


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "densenet121", "efficientnet_b0", "googlenet", "convnext_tiny"])
def test_networks_hold_what_torch_holds(name: str) -> None:
    check(cnnspec.load(name).graph)


def test_autograd_keeps_the_same_of_the_whole_zoo() -> None:
    compared = 0
    for name in bundled():
        graph = cnnspec.load(name).graph
        if len(graph) < 400:
            check(graph, run=False)
            compared += 1
    assert compared >= 20


@pytest.mark.long
@pytest.mark.parametrize("name", bundled())
def test_the_whole_zoo(name: str) -> None:
    graph = cnnspec.load(name).graph
    params = sum(row.params for row in cnnspec.load(name).analyze().layers)
    check(graph, run=params <= SMALL and graph.input_shape[-1] <= 300)
