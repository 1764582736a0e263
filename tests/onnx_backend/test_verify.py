"""Comparisons say how far two networks are apart, and fail where that is too far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx_support import layer_graph, random_module

import cnnspec
from cnnspec.onnx_backend import verify
from cnnspec.onnx_backend.lower import lower
from cnnspec.onnx_backend.options import Lowering

GRAPH = cnnspec.load("lenet5").graph
NOISE = verify.random_batch(GRAPH, 64, 0)


def scores(second: float, *, swapped: int = 0) -> verify.Forward:
    """Class 0 before class 1, by `second` less; the first `swapped` images of a batch the other way round."""

    def run(inputs: NDArray[Any]) -> Sequence[NDArray[Any]]:
        found = np.zeros((len(inputs), 10), np.float32)
        found[:, 0], found[:, 1] = 1, second
        found[:swapped, :2] = found[:swapped, 1::-1]
        return [found]

    return run


@pytest.mark.parametrize(
    ("second", "swapped", "tie", "passed", "told"),
    [
        (0.5, 0, 0.0, True, "64 of 64 images, 100.00%"),
        (0.5, 1, 0.0, False, "62 of 64 images, 96.88%"),  # one in each of two batches
        (0.5, 1, 0.01, False, "62 of 64 images, 96.88%"),
        (0.995, 1, 0.01, True, "62 of 64 images and 2 ties, 100.00%"),
        (0.995, 1, 0.0, False, "62 of 64 images, 96.88%"),
        (0.995, 32, 0.01, True, "0 of 64 images and 64 ties, 100.00%"),
    ],
)
def test_only_what_is_closer_than_the_tolerance_is_a_tie(
    second: float, swapped: int, tie: float, passed: bool, told: str
) -> None:
    comparison = verify.Comparison(scores(second, swapped=swapped), scores(second), GRAPH)
    check = verify.check_agreement(comparison, NOISE, tie=tie)
    assert check.passed == passed
    assert check.detail == f"{told} (at least 99%)"


def test_the_largest_difference_is_relative_to_the_largest_magnitude() -> None:
    def louder(inputs: NDArray[Any]) -> Sequence[NDArray[Any]]:
        return [scores(0.5)(inputs)[0] * np.float32(1.001)]

    comparison = verify.Comparison(louder, scores(0.5), GRAPH, tolerance=2e-3)
    check = verify.check_numbers(comparison, batches=(1, 2))
    assert check.passed
    assert check.figure == pytest.approx(1e-3, rel=1e-3)
    assert not verify.check_numbers(verify.Comparison(louder, scores(0.5), GRAPH), batches=(1, 2)).passed


def test_what_could_not_be_checked_is_neither_good_nor_bad() -> None:
    lines = [
        verify.Check("a", True, "right"),
        verify.Check("b", False, "wrong"),
        verify.unchecked("c", "why not"),
    ]
    assert [str(line) for line in lines] == ["ok       a: right", "FAILED   b: wrong", "note     c: why not"]
    assert lines[2].to_dict() == {"name": "c", "passed": True, "detail": "why not", "figure": None, "checked": False}


def test_a_shape_that_onnx_cannot_infer_is_called_unknown() -> None:
    graph = layer_graph("GroupNorm", {"num_groups": 2}, (4, 6, 6))
    _, weights = random_module(graph)
    model = lower(graph, weights, Lowering(opset=13, dynamic_size=True))
    assert "4x6x6 in the spec, unknown in the file" in verify.check_shapes(model, graph, None).detail
