"""What is compared, and what the report says was left out."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec
from cnnspec.exporting import proof
from cnnspec.onnx_backend.verify import Comparison
from cnnspec.tasks import CLASSES


@pytest.mark.parametrize(
    ("name", "batch", "taken", "said"),
    [
        ("lenet5", None, (1, 2, 7, 32), []),
        ("lenet5", 5, (5,), []),
        ("resnet152", None, (1, 2, 7, 32), []),
        ("c3d", None, (1, 2, 7), ["batches 32"]),
        ("unet", None, (1, 2), ["batches 7, 32"]),
    ],
)
def test_a_batch_that_would_take_minutes_is_left_out_and_the_report_says_so(
    name: str, batch: int | None, taken: tuple[int, ...], said: list[str]
) -> None:
    batches, lines = proof.batches_for(cnnspec.load(name).graph, batch)
    assert batches == taken
    assert [line.name for line in lines] == said
    assert all("1,000,000,000,000 multiply-accumulates" in line.detail and not line.checked for line in lines)


def test_the_line_is_in_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "MOST_MACS", 5 * 416_520)
    lines = [str(check) for check in cnnspec.export("lenet5").checks]
    assert "note     batches 7, 32: not compared: more than 2,082,600 multiply-accumulates each" in lines


def test_classes_closer_than_the_tolerance_are_a_tie_for_what_is_rounded_to_bytes() -> None:
    graph = cnnspec.load("lenet5").graph
    images = np.zeros((4, 28, 28, 1), np.uint8)
    ours, theirs = np.zeros((4, 10), np.float32), np.zeros((4, 10), np.float32)
    ours[:, 3] = theirs[:, 4] = 1
    theirs[:, 3] = 0.995
    comparison = Comparison(lambda inputs: [ours], lambda inputs: [theirs], graph, tolerance=1e-2)
    (exact,) = proof.compare_classes(comparison, images, 4, CLASSES)
    (rounded,) = proof.compare_classes(comparison, images, 4, CLASSES, rounded=True)
    assert (exact.passed, rounded.passed) == (False, True)


def test_too_few_real_images_for_a_batch_are_told_of() -> None:
    graph = cnnspec.load("lenet5").graph
    images = np.zeros((3, 28, 28, 1), np.uint8)

    def never(inputs: object) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
        raise AssertionError("there is no whole batch to run")

    (line,) = proof.compare_classes(Comparison(never, never, graph), images, 32, CLASSES)
    assert not line.checked
    assert "3 images, and batches are of 32" in line.detail
