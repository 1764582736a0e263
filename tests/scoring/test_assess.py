"""Figures of a network by hand, and of runs and exported files alike."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image

import cnnspec
from cnnspec import api
from cnnspec.data.classes import match_classes
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.scoring.class_figures import measure

TEXT = """
cnnspec: 1
name: small
input: {shape: [1, 8, 8], mean: [0.5], std: [0.25]}
layers:
  conv: Conv2d(4, 3)
  bn: BatchNorm2d
  relu: ReLU
  pool: MaxPool2d(2)
  drop: Dropout(0.1)
  flatten: Flatten
  fc: Linear(10)
"""
CLASSES = ("a", "b", "c")
PROBABILITIES = torch.tensor(
    [
        [0.7, 0.2, 0.1],  # a, right
        [0.1, 0.8, 0.1],  # b, right
        [0.6, 0.3, 0.1],  # b, taken for a
        [0.0, 0.1, 0.9],  # c, right
        [0.0, 0.05, 0.95],  # a, taken for c
    ]
)
LABELS = torch.tensor([0, 1, 1, 2, 0])


def test_figures_by_hand() -> None:
    found = measure(PROBABILITIES, LABELS, CLASSES)
    assert found.images == 5
    assert found.accuracy == pytest.approx(0.6)
    assert found.top5 is None
    assert found.confusion == ((1, 0, 1), (1, 1, 0), (0, 0, 1))
    a, b, c = found.classes
    assert (a.precision, a.recall, a.f1) == pytest.approx((0.5, 0.5, 0.5))
    assert (b.precision, b.recall, b.f1) == pytest.approx((1.0, 0.5, 2 / 3))
    assert (c.precision, c.recall, c.f1) == pytest.approx((0.5, 1.0, 2 / 3))
    assert [each.images for each in found.classes] == [2, 2, 1]
    likelihood = torch.tensor([0.7, 0.8, 0.3, 0.9, 1e-30], dtype=torch.float64)
    assert found.loss == pytest.approx(float(-likelihood.log().mean()), rel=1e-5)
    assert [(m.row, m.true, m.predicted) for m in found.mistakes] == [(4, "a", "c"), (2, "b", "a")]


def test_calibration_error_by_hand() -> None:
    """All with confidence 0.8, half of them right: the error is 0.3."""
    probabilities = torch.tensor([[0.8, 0.2]]).repeat(10, 1)
    assert measure(probabilities, torch.tensor([0, 1] * 5), ("a", "b")).calibration_error == pytest.approx(0.3)


@pytest.mark.parametrize("classes", [2, 7])
def test_figures_are_those_of_torchmetrics(classes: int) -> None:
    from torchmetrics.functional import classification as metrics

    torch.manual_seed(classes)
    probabilities = (3 * torch.randn(500, classes)).softmax(1)
    probabilities[:3] = torch.eye(classes)[[0, 1, 1]]  # sure of it
    labels = torch.randint(0, classes - (classes > 2), (500,))  # of one class there is none
    found = measure(probabilities, labels, tuple(map(str, range(classes))))
    matrix = metrics.multiclass_confusion_matrix(probabilities, labels, classes)
    assert torch.equal(torch.tensor(found.confusion), matrix)
    error = metrics.multiclass_calibration_error(probabilities, labels, classes, n_bins=15, norm="l1")
    assert found.calibration_error == pytest.approx(float(error), rel=1e-5)
    for name, figure in (("precision", metrics.multiclass_precision), ("recall", metrics.multiclass_recall),
                         ("f1", metrics.multiclass_f1_score)):  # fmt: skip
        wanted = figure(probabilities, labels, classes, average="none")
        assert [getattr(each, name) for each in found.classes] == pytest.approx(wanted.tolist()), name
    if classes > 5:
        top5 = metrics.multiclass_accuracy(probabilities, labels, classes, top_k=5, average="micro")
        assert found.top5 == pytest.approx(float(top5))


def test_top_5() -> None:
    probabilities = torch.linspace(0.1, 0.8, 8).repeat(8, 1) / 3.6
    assert measure(probabilities, torch.arange(8), tuple("abcdefgh")).top5 == pytest.approx(5 / 8)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    api.train(cnnspec.loads(TEXT), runs=folder, name="a", batch_size=128, epochs=3, threads=1, lr=0.2)
    api.train(cnnspec.loads(TEXT), runs=folder, name="b", batch_size=256, epochs=1, threads=1)
    return folder / "a"


def test_a_run_is_scored_as_training_scored_it(run: Path, tmp_path: Path) -> None:
    found = api.evaluate(run, sheet=tmp_path / "sheet.png")
    result = api.open_run(run).result
    assert result is not None
    assert found.accuracy == pytest.approx(result["test_accuracy"])
    assert found.loss == pytest.approx(result["test_loss"], rel=1e-4)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    validation = api.evaluate(run, split="val")
    assert validation.accuracy == pytest.approx(result["val_accuracy"])


def test_an_exported_file_is_scored_the_same(run: Path, tmp_path: Path) -> None:
    api.export(run, tmp_path / "a.onnx")
    found, wanted = api.evaluate(tmp_path / "a.onnx", data="digits"), api.evaluate(run)
    assert found.confusion == wanted.confusion
    assert found.loss == pytest.approx(wanted.loss, rel=1e-4)


def test_what_cannot_be_scored(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        api.evaluate(tmp_path / "absent")
    with pytest.raises(UsageError, match="no split `train`"):
        api.evaluate(run, split="train")
    (tmp_path / "a.onnx").write_bytes(b"x")
    with pytest.raises(UsageError, match="on which images"):
        api.evaluate(tmp_path / "a.onnx")
    with pytest.raises(CnnspecError):
        api.evaluate(tmp_path / "a.onnx", data="digits")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A run on cats and dogs without test images; and in `wild` are cats and foxes."""
    for folder, label in (("train", "cat"), ("train", "dog"), ("val", "cat"), ("val", "dog")):
        (tmp_path / "pets" / folder / label).mkdir(parents=True)
    for path in (tmp_path / "wild" / "cat", tmp_path / "wild" / "fox", *(tmp_path / "pets").glob("*/*")):
        path.mkdir(parents=True, exist_ok=True)
        for i in range(10):
            Image.new("L", (8, 8), 25 * i).save(path / f"{i}.png")
    spec = cnnspec.loads(TEXT.replace("Linear(10)", "Linear(2)"))
    api.train(spec, data=str(tmp_path / "pets"), runs=tmp_path, name="a", epochs=1, threads=1)
    return tmp_path / "a"


def test_without_test_images_the_confusion_is_that_of_validation(pets: Path) -> None:
    assert (pets / "confusion.png").read_bytes().startswith(b"\x89PNG")
    result = api.open_run(pets).result
    assert result is not None
    assert (result["test_accuracy"], result["test_images"]) == (None, 0)


def test_images_of_other_classes_are_not_scored(pets: Path) -> None:
    api.export(pets, pets.parent / "a.onnx")
    assert api.evaluate(pets.parent / "a.onnx", data=str(pets.parent / "pets"), split="val").images == 20
    for target in (pets, pets.parent / "a.onnx"):
        with pytest.raises(UsageError, match=r"wild has images of fox, .* its classes are cat, dog") as caught:
            api.evaluate(target, data=str(pets.parent / "wild"))
        assert caught.value.hint is None


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that tells black, grey and white images apart, without a mistake; its spec has them in another order."""
    folder = tmp_path_factory.mktemp("colours")
    for label, value in (("black", 0), ("grey", 128), ("white", 255)):
        draw(folder / "train" / label, value, 20)
    spec = cnnspec.loads(COLOURS)
    api.train(spec, data=str(folder / "train"), runs=folder, name="a", epochs=40, batch_size=16, threads=1, lr=0.02)
    api.export(folder / "a", folder / "a.onnx")
    return folder / "a"


COLOURS = """cnnspec: 1
name: colours
input: {shape: [1, 8, 8], mean: [0.5], std: [0.5]}
classes: [white, black, grey]
layers:
  - Conv2d(8, 8)
  - ReLU
  - Flatten
  - Linear(3)
"""


def draw(folder: Path, value: int, count: int) -> None:
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("L", (8, 8), min(255, abs(value - i % 8))).save(folder / f"{i}.png")


def test_classes_are_matched_by_their_names_in_any_order_and_number(colours: Path) -> None:
    for target in (colours, colours.parent / "a.onnx"):
        found = api.evaluate(target, data=str(colours.parent / "train"))
        assert (found.accuracy, [each.name for each in found.classes]) == (1.0, ["white", "black", "grey"])
    for label, value in (("grey", 128), ("white", 255)):
        draw(colours.parent / "two" / label, value, 10)
    for target in (colours, colours.parent / "a.onnx"):
        found = api.evaluate(target, data=str(colours.parent / "two"))
        assert found.accuracy == 1.0
        assert [(each.name, each.images) for each in found.classes] == [("white", 2), ("black", 0), ("grey", 2)]


def test_a_run_is_not_to_be_changed_for_other_images(colours: Path) -> None:
    for label in ("black", "grey", "white", "yellow", "pink"):
        draw(colours.parent / "five" / label, 9, 10)
    for data, words in (
        (str(colours.parent / "five"), "five has images of pink, yellow, and .* its classes are white, black, grey"),
        ("digits", "digits has 10 classes, and the network was trained on 3: white, black, grey"),
    ):
        for target in (colours, colours.parent / "a.onnx"):
            with pytest.raises(UsageError, match=words) as caught:
                api.evaluate(target, data=data)
            assert caught.value.hint is None


@pytest.mark.parametrize(
    ("found", "known", "names", "numbers"),
    [
        (("b", "c", "a"), ("a", "b", "c"), ("a", "b", "c"), [1, 2, 0]),
        (("c", "a"), ("a", "b", "c"), ("a", "b", "c"), [2, 0]),
        (("0", "1", "10", *map(str, range(2, 10))), (*"abcdefghijk",), (*"abcdefghijk",), [0, 1, 10, *range(2, 10)]),
        (("x", "y"), ("0", "1"), ("x", "y"), [0, 1]),
    ],
)
def test_how_classes_are_matched(
    found: tuple[str, ...], known: tuple[str, ...], names: tuple[str, ...], numbers: list[int]
) -> None:
    assert match_classes("data", found, known) == (names, numbers)


def test_runs_are_listed_and_unreadable_ones_reported(run: Path, tmp_path: Path) -> None:
    assert [found.name for found in api.list_runs(run.parent)] == ["a", "b"]
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "config.yaml").write_text("train: {epocs: 3}\n")
    said: list[CnnspecError] = []
    assert api.list_runs(tmp_path, on_error=said.append) == []
    assert len(said) == 1
    with pytest.raises(UsageError, match="there is no folder"):
        api.list_runs(tmp_path / "absent")
