"""The losses and figures of every task are those of torch, torchmetrics and scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score
from torch.nn import functional
from torchmetrics.functional import classification, regression

from cnnspec.errors import UsageError
from cnnspec.tasks import TASKS, Answers
from cnnspec.training.config import TrainConfig
from cnnspec.training.objectives.base import loss_word
from cnnspec.training.objectives.classes import ClassObjective
from cnnspec.training.objectives.labels import LabelsObjective, best_thresholds
from cnnspec.training.objectives.masks import MaskObjective, cropped
from cnnspec.training.objectives.numbers import NumbersObjective

CPU = torch.device("cpu")


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_top_five_is_torchmetrics() -> None:
    scores, labels = draw(200, 9), torch.arange(200) % 9
    found = ClassObjective(TrainConfig(), torch.ones(9), CPU)
    figures = found.figures(found.note(scores, labels))
    assert figures["accuracy"] == pytest.approx(
        float(classification.multiclass_accuracy(scores, labels, 9, average="micro"))
    )
    assert figures["top5"] == pytest.approx(
        float(classification.multiclass_accuracy(scores, labels, 9, top_k=5, average="micro"))
    )
    few = ClassObjective(TrainConfig(), torch.ones(3), CPU)
    assert set(few.figures(few.note(draw(5, 3), torch.tensor([0, 1, 2, 0, 1])))) == {"accuracy"}


def test_labels_are_scored_as_scikit_learn_does() -> None:
    scores, labels = draw(300, 4), (draw(300, 4, seed=1) > 0.5).float()
    found = LabelsObjective(TrainConfig(), torch.ones(4), 300, Answers("multi-label"), CPU)
    noted = found.note(scores, labels)
    figures = found.figures(noted)
    assert figures["map"] == pytest.approx(average_precision_score(labels.numpy(), scores.numpy(), average="macro"))
    assert figures["f1"] == pytest.approx(f1_score(labels.numpy(), scores.numpy() >= 0, average="macro"))
    wanted = functional.binary_cross_entropy_with_logits(scores, labels) * 300
    assert float(found.loss(scores, labels)) == pytest.approx(float(wanted), rel=1e-5)
    found.settle(noted)
    settled = found.figures(noted)["f1"]
    assert settled is not None
    assert figures["f1"] is not None
    assert settled >= figures["f1"]
    assert len(found.answers.thresholds) == 4


def test_no_threshold_has_a_higher_f1() -> None:
    for seed in range(20):
        shares, true = draw(30, 1, seed=seed).sigmoid().round(decimals=1), (draw(30, 1, seed=seed + 99) > 0).long()
        (chosen,) = best_thresholds(shares, true)
        every = [f1_score(true, shares >= threshold, zero_division=0) for threshold in np.linspace(0, 1, 101)]
        assert f1_score(true, shares >= chosen, zero_division=0) == pytest.approx(max(every))
    assert best_thresholds(draw(5, 1).sigmoid(), torch.zeros(5, 1).long()) == (0.5,)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("squared-error", lambda one, two: functional.mse_loss(one, two, reduction="none") / 2),
        ("absolute-error", lambda one, two: functional.l1_loss(one, two, reduction="none")),
        ("huber", lambda one, two: functional.huber_loss(one, two, reduction="none")),
    ],
)
def test_numbers_are_taught_on_one_scale_and_scored_in_their_units(loss, wanted) -> None:  # type: ignore[no-untyped-def]
    numbers = draw(200, 2) * torch.tensor([1000.0, 0.01]) + torch.tensor([5.0, -3.0])
    answers = NumbersObjective.measured(numbers, None)
    found = NumbersObjective(TrainConfig(loss=loss), answers, CPU)
    mean, std = numbers.double().mean(0), numbers.double().std(0, correction=0)
    outputs = draw(200, 2, seed=3)
    scaled = ((numbers - mean) / std).float()
    assert float(found.loss(outputs, numbers)) == pytest.approx(float(wanted(outputs, scaled).mean(1).sum()), rel=1e-4)
    figures, given = found.figures(found.note(outputs, numbers)), outputs * std + mean
    assert figures["r2"] == pytest.approx(float(regression.r2_score(given, numbers.double())), rel=1e-4)
    assert figures["mae"] == pytest.approx(float((given - numbers).abs().mean()), rel=1e-4)
    assert found.figures(found.note(outputs, torch.ones(200, 2)))["r2"] is None


@pytest.mark.parametrize("axes", [(12,), (8, 10), (4, 6, 5)])
def test_masks_are_scored_as_torchmetrics_does_on_any_axes(axes: tuple[int, ...]) -> None:
    scores, masks = draw(6, 3, *axes), torch.randint(0, 4, (6, *axes), generator=torch.Generator().manual_seed(0))
    masks[masks == 3] = 255
    found = MaskObjective(TrainConfig(), torch.ones(3), 255, CPU)
    figures = found.figures(found.note(scores, masks))
    wanted = classification.multiclass_jaccard_index(scores, masks, 3, ignore_index=255)
    assert figures["miou"] == pytest.approx(float(wanted))
    right = classification.multiclass_accuracy(scores, masks, 3, ignore_index=255, average="micro")
    assert figures["pixel_accuracy"] == pytest.approx(float(right))
    each = [functional.cross_entropy(scores[row : row + 1], masks[row : row + 1], ignore_index=255) for row in range(6)]
    assert float(found.loss(scores, masks)) == pytest.approx(float(sum(each)), rel=1e-5)
    both = MaskObjective(TrainConfig(loss="cross-entropy+dice"), torch.ones(3), 255, CPU)
    dice = MaskObjective(TrainConfig(loss="dice"), torch.ones(3), 255, CPU)
    together = dice.loss(scores, masks) + found.loss(scores, masks)
    assert float(both.loss(scores, masks)) == pytest.approx(float(together), rel=1e-5)
    perfect = functional.one_hot(masks.clamp(max=2), 3).movedim(-1, 1).float() * 100
    assert float(dice.loss(perfect, masks)) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("weights", [None, (0.5, 2.0, 3.0)])
@pytest.mark.parametrize("ignored", [0, 3])
def test_the_loss_of_masks_is_the_mean_over_their_places(weights: tuple[float, ...] | None, ignored: int) -> None:
    """For each image by itself; whether or not some places have no class."""
    scores = draw(6, 3, 8, 10)
    masks = torch.randint(0, 3, (6, 8, 10), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    masks[1, :ignored] = 255
    config = TrainConfig() if weights is None else TrainConfig(class_weights=weights)
    found = MaskObjective(config, torch.ones(3), 255, CPU).loss(scores, masks)
    wanted = 0.0
    for given, mask in zip(scores, masks, strict=True):
        chances = given.double().log_softmax(0)
        places = [(int(mask[y, x]), y, x) for y in range(8) for x in range(10) if mask[y, x] != 255]
        wanted -= sum((weights or (1,) * 3)[kind] * float(chances[kind, y, x]) for kind, y, x in places) / len(places)
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_a_mask_is_cropped_to_the_middle() -> None:
    masks = torch.arange(36).view(1, 6, 6)
    assert cropped(masks, torch.zeros(1, 2, 2, 4)).tolist() == masks[:, 2:4, 1:5].tolist()


@pytest.mark.parametrize(
    ("options", "task", "message"),
    [
        ({"loss": "huber"}, "classification", "--loss huber is not for classification"),
        ({"loss": "dice"}, "regression", "--loss dice is not for regression"),
        ({"label_smoothing": 0.1}, "segmentation", "--label-smoothing is for classification"),
        ({"class_weights": "balanced"}, "regression", "--class-weights are for classes"),
    ],
)
def test_options_of_other_tasks_are_refused(options, task, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=message):
        loss_word(TrainConfig(**options), TASKS[task])


def test_balanced_labels_weigh_what_is_rare() -> None:
    found = LabelsObjective(
        TrainConfig(class_weights="balanced"), torch.tensor([10, 90]), 100, Answers("multi-label"), CPU
    )
    loss = found.loss(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]))
    assert float(loss) == pytest.approx((9 + 1) * float(np.log(2)) / 2, rel=1e-5)
    assert replace(found.answers, thresholds=(0.1, 0.2)).to_dict() == {
        "task": "multi-label",
        "thresholds": (0.1, 0.2),
    }
