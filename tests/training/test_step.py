"""A training step told in numbers: held to finite differences, to torch's optimizers, and to itself in print."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from small_runs import TEXT, run
from torch.nn import functional

import cnnspec
from cnnspec.api import TrainConfig
from cnnspec.cli.render.step import render, rounded
from cnnspec.errors import UsageError
from cnnspec.training.one_step import take_step
from cnnspec.training.told_step import TrainingStep
from cnnspec.training.update_rule import arithmetic

NETWORKS: dict[str, dict[str, Any]] = {
    "lenet5": {},
    "simple_cnn": {},
    "mlp": {},
    "resnet20": {},
    "m5": {"input_shape": (1, 2000)},
    "squeezenet1_0": {"input_shape": (3, 64, 64)},
    "mobilenet_v2": {"input_shape": (3, 32, 32)},
    "shufflenet_v2_x0_5": {"input_shape": (3, 32, 32)},
    "densenet121": {"input_shape": (3, 32, 32)},
    "efficientnet_b0": {"input_shape": (3, 32, 32)},
    "googlenet": {"input_shape": (3, 32, 32)},
}

SMALL = ("lenet5", "simple_cnn", "mlp", "m5")

RULES: list[dict[str, Any]] = [
    {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.0},
    {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 5e-4},
    {"optimizer": "sgd", "momentum": 0.7, "weight_decay": 0.1, "nesterov": True},
    {"optimizer": "adam", "weight_decay": 0.0},
    {"optimizer": "adam", "weight_decay": 0.01},
    {"optimizer": "adamw", "weight_decay": 0.0},
    {"optimizer": "adamw", "weight_decay": 0.05},
]


def tell(spec: cnnspec.Spec, model: Any, image: torch.Tensor, label: int, **options: Any) -> TrainingStep:
    graph = spec.graph.network("inference")
    (count,) = graph.shape_of(graph.outputs[0])
    names = tuple(map(str, range(count)))
    return take_step(graph, model, image, label, TrainConfig(**options), names, start="", source="")


@pytest.mark.parametrize("loss", ["cross-entropy", "squared-error"])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if name not in SMALL else []) for name in NETWORKS]
)
def test_the_gradient_of_every_layer_is_that_of_finite_differences(name: str, loss: str) -> None:
    """Along torch's own direction the error has to rise by the norm that is told."""
    spec = cnnspec.load(name, **NETWORKS[name])
    torch.manual_seed(3)
    model = spec.build().double().eval()
    for buffer_name, buffer in model.named_buffers():
        if buffer_name.endswith("running_var"):
            buffer.uniform_(0.5, 2.0)
    image, label = torch.randn(*spec.graph.input_shape, dtype=torch.float64), 2
    parameters = dict(model.named_parameters())
    (count,) = spec.graph.output_shape
    target = functional.one_hot(torch.tensor([label]), count).double()

    def error() -> torch.Tensor:
        scores = model(image[None])
        if loss == "squared-error":
            return ((target - scores.softmax(1)) ** 2).sum() / 2
        return -(target * scores.log_softmax(1)).sum()

    before = error()
    before.backward()
    wanted: dict[str, float] = {}
    with torch.no_grad():
        for node in spec.graph.network("inference"):
            own = [key for each in node.tensors if (key := node.tensor_name(each)) in parameters]
            directions = [grad.clone() for key in own if (grad := parameters[key].grad) is not None]
            if not directions:
                continue
            length = sum(float(each.square().sum()) for each in directions) ** 0.5
            values = []
            for way in (1e-6, -2e-6, 1e-6):
                for key, direction in zip(own, directions, strict=True):
                    parameters[key] += way * direction / max(length, 1e-300)
                values.append(float(error()))
            wanted[node.name] = (values[0] - values[1]) / 2e-6
    model.zero_grad()
    told = tell(spec, model, image, label, loss=loss)
    assert told.error == pytest.approx(before.item(), rel=1e-12)
    given = {row.layer: row.gradient for row in told.layers if row.gradient is not None}
    assert given.keys() == wanted.keys()
    largest = max(wanted.values())
    for layer, norm in given.items():
        assert norm == pytest.approx(wanted[layer], rel=1e-6, abs=1e-6 * largest), layer


def plain_optimizer(parameters: list[torch.Tensor], options: dict[str, Any]) -> torch.optim.Optimizer:
    """What a usual script makes of the same words."""
    if options["optimizer"] == "sgd":
        return torch.optim.SGD(
            parameters, 0.05, momentum=options["momentum"], weight_decay=options["weight_decay"],
            nesterov=options.get("nesterov", False), foreach=False,
        )  # fmt: skip
    kind = torch.optim.Adam if options["optimizer"] == "adam" else torch.optim.AdamW
    return kind(parameters, 0.05, weight_decay=options["weight_decay"], foreach=False)


@pytest.mark.parametrize("options", RULES, ids=str)
def test_the_arithmetic_ends_where_torch_ends_to_the_last_bit(options: dict[str, Any]) -> None:
    config = TrainConfig(lr=0.05, **options)
    generator = torch.Generator().manual_seed(1)
    for scale in (1e-6, 1e-2, 1.0, 1e3):
        weight = torch.randn(7, 13, 3, 3, generator=generator)
        gradient = torch.randn(7, 13, 3, 3, generator=generator) * scale
        parameter = torch.nn.Parameter(weight.clone())
        parameter.grad = gradient.clone()
        plain_optimizer([parameter], options).step()
        assert torch.equal(arithmetic(config, weight, gradient).weight, parameter.detach())
        for row in range(50):  # and number by number, as it is told
            at = tuple(np.unravel_index(row * 16, weight.shape))
            told = arithmetic(config, weight[at], gradient[at])
            assert torch.equal(told.weight, parameter.detach()[at])
            assert told.lines[-1].startswith("w′ = ")


@pytest.mark.parametrize("options", RULES, ids=str)
def test_what_is_told_is_what_a_usual_script_does(options: dict[str, Any]) -> None:
    spec = cnnspec.load("lenet5")
    torch.manual_seed(0)
    model = spec.build()
    torch.manual_seed(0)
    usual = spec.build().eval()
    image = torch.randn(*spec.graph.input_shape)
    optimizer = plain_optimizer(list(usual.parameters()), options)
    loss = functional.cross_entropy(usual(image[None]), torch.tensor([4]))
    loss.backward()
    optimizer.step()
    told = tell(spec, model, image, 4, **options)
    assert told.error == pytest.approx(loss.item(), rel=1e-6)
    for moved in told.moved:
        assert moved.after == float(usual.get_parameter(moved.tensor).detach()[moved.index])
    after = usual(image[None]).detach()[0].softmax(0)
    assert [term.probability_after for term in told.classes] == after.tolist()


def test_printed_terms_add_up_to_the_printed_error() -> None:
    generator = np.random.default_rng(5)
    for count in (2, 10, 1000):
        for _ in range(200):
            terms = generator.exponential(10 ** generator.uniform(-7, 1), count)
            texts, total = rounded(list(terms), float(terms.sum()))
            assert sum(round(float(text) * 1e6) for text in texts) == round(float(total) * 1e6)
            assert abs(float(total) - terms.sum()) <= 5.1e-7
            assert np.abs(np.array(texts, float) - terms).max() <= 1e-6
    for name, label in (("lenet5", "8"), ("resnet20", "3")):
        text = render(cnnspec.step(name, data="fake", label=label, loss="squared-error"))
        table = text.split("error = ½")[0].splitlines()[4:]
        *terms, total = (float(line.split()[-1]) for line in table if line.strip())
        assert sum(round(term * 1e6) for term in terms) == round(total * 1e6)


def test_blocked_units_are_those_of_derivative_zero() -> None:
    spec = cnnspec.loads("""
cnnspec: 1
input: [1, 6, 6]
layers:
  conv: Conv2d(3, 3, bias=True)
  relu: ReLU
  flatten: Flatten
  fc: Linear(2)
""")
    model = spec.build()
    with torch.no_grad():
        model.get_parameter("conv.weight").zero_()
        model.get_parameter("conv.bias").copy_(torch.tensor([1.0, -1.0, -2.0]))
    told = tell(spec, model, torch.ones(1, 6, 6), 0)
    relu = told.layers[1]
    assert (relu.blocked, relu.blocked_channels) == (pytest.approx(2 / 3), 2)
    assert "`relu` lets nothing through 2 of its 3 channels for this image" in told.remarks


def test_gradients_that_vanish_or_do_not_come_are_said() -> None:
    layers = "\n".join(f"  s{number}: Linear(8)\n  a{number}: Sigmoid" for number in range(8))
    spec = cnnspec.loads(f"cnnspec: 1\ninput: [1, 4, 4]\nlayers:\n  flatten: Flatten\n{layers}\n  out: Linear(3)\n")
    torch.manual_seed(0)
    told = tell(spec, spec.build(), torch.randn(1, 4, 4), 1)
    assert any(remark.startswith("the gradient vanishes") for remark in told.remarks)
    model = spec.build()
    with torch.no_grad():
        model.get_parameter("out.weight").zero_()
    told = tell(spec, model, torch.randn(1, 4, 4), 1)
    assert "no gradient reaches the weights of `s0`" in told.remarks


def test_a_run_is_taken_with_its_weights_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run(tmp_path / "runs" / "a", epochs=1, loss="squared-error", optimizer="adam", lr=0.01)
    told = cnnspec.step("a", label="3")
    assert told.rule.startswith("Adam, rate 0.01")
    assert told.loss == "squared-error"
    assert "runs/a" in told.start
    again = cnnspec.step("a", label="3")
    assert again == told
    other = cnnspec.step("a", label="3", optimizer="sgd", lr=0.5)
    assert other.error == told.error
    assert other.rule.startswith("SGD, rate 0.5")
    before = (tmp_path / "runs" / "a" / "best.safetensors").read_bytes()
    assert (tmp_path / "runs" / "a" / "best.safetensors").read_bytes() == before


def test_an_image_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "ship.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)).save(path)
    spec = cnnspec.loads(TEXT.replace("name: small", "name: small\nclasses: [a, b, c, d, e, f, g, h, i, j]"))
    told = cnnspec.step(spec, image=path, label="c")
    assert (told.label, told.image) == ("c", str(path))
    assert [term.target for term in told.classes] == [0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert cnnspec.step(spec, image=path, label="2") == told
    document = json.loads(json.dumps(told.to_dict()))
    assert document["error"] == pytest.approx(sum(term["error"] for term in document["classes"]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spec": "lenet5", "image": "x.png"}, "of which class is the image"),
        ({"spec": "lenet5", "image": "x.png", "label": "ten"}, "there is no class `ten`"),
        ({"spec": "lenet5", "image": "x.png", "label": "10"}, "there is no class `10`"),
        ({"spec": "lenet5", "image": "x.png", "label": "1"}, "cannot read x.png"),
        ({"spec": "lenet5", "data": "digits", "index": 9999}, "number 9999 is none of them"),
        ({"spec": "unet", "data": "fake"}, "a score for each class"),
        ({"spec": "lenet5", "data": "digits", "lr": -1}, "lr"),
        ({"spec": "lenet5", "data": "digits", "optimizer": "lion"}, "optimizer"),
        ({"spec": "lenet5", "data": "digits", "nesterov": True, "momentum": 0.0}, "--nesterov"),
    ],
)
def test_what_does_not_fit_is_said(arguments: dict[str, Any], message: str) -> None:
    spec = arguments.pop("spec")
    with pytest.raises(UsageError, match=re.escape(message)):
        cnnspec.step(spec, **arguments)
