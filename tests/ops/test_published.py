"""Worked examples as they were published, through the operators and their torch forms."""

from __future__ import annotations

import torch
from torch import nn

import cnnspec
from cnnspec.ops import make_op
from cnnspec.torch_backend.layers import layer

INPUT = [[3, 4, 6, 5, 7], [2, 4, 6, 8, 2], [1, 6, 7, 8, 4], [9, 7, 4, 6, 2], [3, 7, 5, 4, 1]]
PADDED = [
    [91, 168, 224, 215, 127],
    [114, 211, 295, 262, 149],
    [192, 259, 282, 214, 122],
    [194, 251, 253, 169, 86],
    [96, 112, 110, 68, 31],
]


def convolved(**arguments: int) -> list[list[float]]:
    """The 5x5 input under the kernel 1..9."""
    op = make_op("Conv2d", out_channels=1, kernel_size=3, bias=False, **arguments)
    conv = layer(op, (1, 5, 5))
    assert isinstance(conv, nn.Module)
    conv.load_state_dict({"weight": torch.arange(1.0, 10).reshape(1, 1, 3, 3)})
    out = conv(torch.tensor(INPUT, dtype=torch.float32)[None, None])
    assert tuple(out.shape[1:]) == op.out_shape((1, 5, 5))
    return out[0, 0].tolist()


def test_convolution_with_padding() -> None:
    assert convolved(padding=1) == PADDED


def test_convolution_without_padding() -> None:
    assert convolved() == [row[1:4] for row in PADDED[1:4]]


def test_convolution_with_stride_two() -> None:
    assert convolved(stride=2) == [[211, 262], [251, 169]]


def test_max_pooling() -> None:
    pool = layer(make_op("MaxPool2d", kernel_size=2), (1, 4, 4))
    assert isinstance(pool, nn.Module)
    image = torch.tensor([[3, 4, 6, 5], [2, 4, 6, 8], [1, 6, 7, 8], [9, 7, 4, 6]], dtype=torch.float32)
    assert pool(image[None, None])[0, 0].tolist() == [[4, 8], [9, 8]]


def test_five_to_ten_channels() -> None:
    assert make_op("Conv2d", out_channels=10, kernel_size=3).out_shape((5, 100, 100)) == (10, 98, 98)


def test_convnet_keras() -> None:
    """Chollet 2017, Deep Learning with Python, section 5.1: `model.summary()`, channels last there."""
    graph = cnnspec.load("convnet_keras").graph
    rows = [node for node in graph if "relu" not in node.name][:5]
    assert [node.shape for node in rows] == [(32, 26, 26), (32, 13, 13), (64, 11, 11), (64, 5, 5), (64, 3, 3)]
    sizes = {name: torch.Size(shape).numel() for name, shape in graph.state_shapes().items()}
    counts = [sum(sizes.get(f"{node.name}.{key}", 0) for key in ("weight", "bias")) for node in rows]
    assert counts == [320, 0, 18_496, 0, 36_928]
    assert sum(counts) == 55_744
