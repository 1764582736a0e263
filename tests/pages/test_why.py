"""Why an answer: Grad-CAM against torch by hand and against CAM, occlusion against networks that look at one place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import cnnspec
from cnnspec import api
from cnnspec.errors import UsageError
from cnnspec.exporting.subject import of_spec
from cnnspec.pages.why import GradCam, Reasons, occlusion, seen_last
from cnnspec.torch_backend import build_module

POOLED = """
cnnspec: 1
name: pooled
input: [1, 12, 10]
layers:
  a: Conv2d(4, 3, padding=1)
  r: ReLU(inplace=True)
  b: Conv2d(6, 3)
  q: ReLU(inplace=True)
  g: AdaptiveAvgPool2d(1)
  f: Flatten
  out: Linear(3)
"""


def image(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def test_grad_cam_is_that_of_hooks() -> None:
    spec = cnnspec.loads(POOLED)
    weights = of_spec(spec, None, 1).weights
    assert seen_last(spec.graph) == "q"
    given = image(spec.graph.input_shape)
    ours = GradCam(spec.graph, weights, "q")(given, (2, 0))
    module = build_module(spec.graph).eval()
    module.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()})
    kept: list[torch.Tensor] = []
    module.get_submodule("q").register_forward_hook(lambda _, __, out: (out.retain_grad(), kept.append(out))[1])
    for place, label in enumerate((2, 0)):
        kept.clear()
        module(torch.from_numpy(given[None]))[0, label].backward()
        (maps,) = kept
        weighed = (maps.grad.mean((2, 3), keepdim=True) * maps).sum(1).clamp(min=0)[0]
        np.testing.assert_allclose(ours[place], weighed.detach().numpy(), atol=1e-6)


def test_before_a_mean_over_all_it_is_the_class_activation_map() -> None:
    spec = cnnspec.loads(POOLED)
    weights = of_spec(spec, None, 1).weights
    given = image(spec.graph.input_shape)
    cam = GradCam(spec.graph, weights, "q")(given, (1,))[0]
    from cnnspec.pages.values import every_layer

    maps = every_layer(spec.graph, weights, ("q",))(given[None])["q"][0]
    wanted = np.maximum(0, np.einsum("c,chw->hw", weights["out.weight"][1], maps)) / maps[0].size
    np.testing.assert_allclose(cam, wanted, atol=1e-6)


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "googlenet", "densenet121"])
def test_the_layer_is_the_last_that_all_goes_through(name: str) -> None:
    graph = cnnspec.load(name).graph.network("inference")
    found = seen_last(graph)
    assert found is not None
    assert min(graph.by_name[found].shape[1:]) > 1
    place = list(graph.by_name).index(found)
    behind = list(graph)[place + 1 :]
    known = {found, *(node.name for node in behind)}
    assert all(set(node.inputs) <= known for node in behind)  # nothing behind it reads what is before it
    readers = [node for node in behind if found in node.inputs]
    assert all(len(node.shape) != 3 or min(node.shape[1:]) == 1 for node in readers)


def test_a_network_without_places_has_no_such_layer() -> None:
    assert seen_last(cnnspec.load("mlp").graph) is None


def test_covering_the_one_place_that_counts_lowers_the_answer_most() -> None:
    given = np.full((1, 12, 12), 0.2, np.float32)
    given[0, 9, 3] = 1.0

    def probabilities(images: np.ndarray) -> np.ndarray:
        bright = images[:, 0, 9, 3]
        return np.stack([bright, 1 - bright], 1)

    falls = occlusion(probabilities, given, (0, 1), grid=6)
    assert falls.shape == (2, 6, 6)
    row, column = np.unravel_index(falls[0].argmax(), falls[0].shape)
    assert (row, column) == (4, 1)  # the patch over rows 8 and 9, columns 2 and 3
    np.testing.assert_allclose(falls[0], -falls[1], atol=1e-6)
    assert (falls[0] > 0).sum() == 1


def test_reasons_are_probabilities_of_the_network() -> None:
    spec = cnnspec.loads(POOLED)
    reasons = Reasons(spec.graph, of_spec(spec, None, 1).weights)
    found = reasons(image(spec.graph.input_shape), (0, 2))
    assert found.cam is not None
    assert found.cam.shape == (2, 10, 8)
    assert found.occlusion is not None
    assert found.occlusion.shape == (2, 12, 10)
    np.testing.assert_allclose(reasons.probabilities(image((5, *spec.graph.input_shape))).sum(1), 1, rtol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    cnnspec.export(cnnspec.loads(POOLED), path)
    return path


def test_predict_draws_why(exported: Path, tmp_path: Path) -> None:
    from cnnspec.cli.predict import app

    Image.fromarray(np.random.default_rng(0).integers(0, 256, (12, 10), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    target = tmp_path / "why.png"
    done = CliRunner().invoke(
        app, [str(exported), str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--why", "-o", str(target)]
    )
    assert done.exit_code == 1, done.output  # of the bad image
    with Image.open(target) as drawn:
        assert drawn.width > 5 * 100  # the image, and two maps for each of two classes
    with pytest.raises(UsageError):
        api.draw_why(exported, (str(tmp_path / "a.png"),), tmp_path / "why.jpg")
