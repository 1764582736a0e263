"""Losses by hand and by torch, and what is put into the optimizer."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from run_states import plain
from torch import nn
from torch.nn import functional

import cnnspec
from cnnspec.analysis.freezing import Freezing
from cnnspec.errors import UsageError
from cnnspec.training.config import TrainConfig
from cnnspec.training.criterion import freeze, initialise, make_optimizer, make_update
from cnnspec.training.objectives.classes import make_loss

CPU = torch.device("cpu")
COUNTS = torch.tensor([10, 30, 60])


def test_cross_entropy_is_torchs_summed() -> None:
    outputs, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 2, 1])
    loss = make_loss(TrainConfig(label_smoothing=0.1), COUNTS, CPU)
    wanted = functional.cross_entropy(outputs, labels, label_smoothing=0.1) * 5
    assert loss(outputs, labels) == pytest.approx(wanted.item(), rel=1e-6)


def test_squared_error_by_hand() -> None:
    """Outputs of equal size give each of 2 classes the probability 1/2: (1/2)((1 - 1/2)² + (1/2)²) = 1/4 an image."""
    loss = make_loss(TrainConfig(loss="squared-error"), torch.tensor([1, 1]), CPU)
    assert float(loss(torch.zeros(3, 2), torch.tensor([0, 1, 1]))) == pytest.approx(0.75)


def test_balanced_weights_are_n_over_classes_times_count() -> None:
    loss = make_loss(TrainConfig(class_weights="balanced"), COUNTS, CPU)
    each = functional.cross_entropy(torch.zeros(1, 3), torch.tensor([0]))
    for label, count in enumerate(COUNTS.tolist()):
        assert float(loss(torch.zeros(1, 3), torch.tensor([label]))) == pytest.approx(float(each) * 100 / 3 / count)


def test_class_weights_want_one_per_class() -> None:
    with pytest.raises(UsageError, match="2 numbers, and there are 3 classes"):
        make_loss(TrainConfig(class_weights=(1.0, 2.0)), COUNTS, CPU)


def test_norms_and_biases_can_be_left_undecayed() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    optimizer = make_optimizer(TrainConfig(decay_norms=False, weight_decay=0.1), model, CPU)
    decayed, spared = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert len(spared["params"]) == 3
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


@pytest.mark.parametrize(("name", "kind"), [("sgd", "SGD"), ("adam", "Adam"), ("adamw", "AdamW")])
def test_optimizers(name: str, kind: str) -> None:
    optimizer = make_optimizer(TrainConfig(optimizer=name), nn.Linear(2, 2), CPU)  # type: ignore[arg-type]
    assert type(optimizer).__name__ == kind
    assert optimizer.param_groups[0]["fused"]


def test_freeze_keeps_a_prefix_from_training_and_no_other() -> None:
    model = cnnspec.build("simple_cnn")
    freeze(model, ("conv1",))
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["conv1.weight", "conv1.bias"]
    freeze(model, ("conv",))
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(UsageError, match="the network has no parameters"):
        Freezing().check(cnnspec.loads("cnnspec: 1\ninput: [4]\nlayers: [ReLU]\n").graph)


@pytest.mark.parametrize(
    ("name", "prefixes"),
    [
        ("lenet5", ()),
        ("simple_cnn", ("conv1.bias", "fc")),
        ("resnet18", ("conv1", "bn1", "layer1", "layer2.0.conv1")),
        ("convnext_tiny", ("features.1",)),  # whose blocks have a tensor of their own
        ("googlenet", ("aux1", "inception3a.branch1")),
    ],
)
def test_figures_and_torch_agree_on_what_is_trained(name: str, prefixes: tuple[str, ...]) -> None:
    spec = cnnspec.load(name)
    model = spec.build()
    freeze(model, prefixes)
    report = spec.analyze(purpose="train", frozen=prefixes)
    trained = [(key, parameter.numel()) for key, parameter in model.named_parameters() if parameter.requires_grad]
    assert report.totals.trainable_params == sum(count for _, count in trained)
    assert report.totals.params == sum(parameter.numel() for parameter in model.parameters())
    for row in report.layers:
        own = (count for key, count in trained if row.name in (key, key.rpartition(".")[0]))
        assert row.trainable_params == sum(own)
    assert sum(row.trainable_params for row in report.folded(1).layers) == report.totals.trainable_params


def test_a_spec_says_itself_what_is_frozen() -> None:
    text = "cnnspec: 1\ninput: [4]\nlayers: {a: Linear(3), b: Linear(2)}\ntrain: {freeze: [a]}\n"
    data = cnnspec.loads(text).analyze().to_dict()
    assert [row["trainable_params"] for row in data["layers"]] == [0, 8]
    assert (data["totals"]["params"], data["totals"]["trainable_params"]) == (23, 8)
    assert cnnspec.loads(text).analyze(frozen=()).totals.trainable_params == 23
    assert cnnspec.loads(text.replace("[a]", "7")).analyze().totals.trainable_params == 23  # training refuses it


@pytest.mark.parametrize("scheme", ["xavier", "kaiming", "orthogonal"])
def test_initialisation_by_name(scheme: str) -> None:
    model = nn.Sequential(nn.Conv2d(8, 64, 3), nn.BatchNorm2d(64), nn.Linear(100, 50))
    initialise(model, scheme)
    conv, norm, linear = model
    assert isinstance(conv, nn.Conv2d)
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(linear, nn.Linear)
    assert not conv.bias.any()  # type: ignore[union-attr]
    assert bool((norm.weight == 1).all())
    deviation = float(conv.weight.detach().std())
    if scheme == "xavier":
        assert deviation == pytest.approx((2 / (8 * 9 + 64 * 9)) ** 0.5, rel=0.1)
    elif scheme == "kaiming":
        assert deviation == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.1)
    else:
        assert torch.allclose(linear.weight @ linear.weight.T, torch.eye(50), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9, "weight_decay": 0.01, "nesterov": True},
        {"momentum": 0.9, "decay_norms": False},
        {"momentum": 0.0},
        {"optimizer": "adamw"},
    ],
)
def test_an_update_is_that_of_torch_bit_for_bit(options: dict[str, Any]) -> None:
    config = TrainConfig(**options)
    torch.manual_seed(0)
    one = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3), nn.Linear(2, 2))
    two = copy.deepcopy(one)
    theirs, ours = (make_optimizer(config, model, torch.device("cpu")) for model in (one, two))
    update = make_update(config, ours)
    for step in range(4):
        x = torch.randn(8, 5)
        for model in (one, two):
            model[:3](x).square().sum().backward()  # the last layer has no gradient
        for optimizer in (theirs, ours):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 / (step + 1)
        theirs.step()
        theirs.zero_grad()
        update()
        assert all(parameter.grad is None for parameter in two.parameters())
        assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert plain(theirs.state_dict()) == plain(ours.state_dict())


@pytest.mark.parametrize("options", [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"optimizer": "adam"}])
def test_a_first_step_that_the_scaler_skips_leaves_nothing_behind(options: dict[str, Any]) -> None:
    """fp16 begins with a scale that may overflow. What torch makes without a value is filled with NaN here."""
    config, scaler = TrainConfig(**options), torch.amp.GradScaler("cpu")
    skipped, plain_one = nn.Linear(3, 2), nn.Linear(3, 2)
    plain_one.load_state_dict(skipped.state_dict())
    first, second = (make_optimizer(config, model, CPU) for model in (skipped, plain_one))
    torch.use_deterministic_algorithms(True)
    try:
        for gradient in (math.inf, 1.0, 2.0):
            scaler.scale(skipped(torch.ones(1, 3)).sum() * gradient).backward()
            scaler.step(first)
            scaler.update()
            first.zero_grad()
    finally:
        torch.use_deterministic_algorithms(False)
    for gradient in (1.0, 2.0):
        (plain_one(torch.ones(1, 3)).sum() * gradient).backward()
        second.step()
        second.zero_grad()
    for name, tensor in plain_one.state_dict().items():
        assert torch.allclose(skipped.state_dict()[name], tensor), name
