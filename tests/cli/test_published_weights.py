"""Weights that libraries publish, from files of the same layout: nothing here has a network."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from cli_calls import call
from PIL import Image
from published_files import publish
from safetensors.torch import load_file, save_file
from torchvision import models

import cnnspec
from cnnspec import api
from cnnspec.api.weights import named_weights, refuse_code
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.torch_backend.published import timm_weights, torchvision_weights

SMALL = "shufflenet_v2_x0_5"  # 1.4 million parameters


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise URLError("no network here")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(torch.hub, "urlopen", refuse)


@pytest.mark.parametrize("network", [SMALL, pytest.param("densenet121", marks=pytest.mark.long), "googlenet"])
def test_loaded_weights_give_what_torchvisions_network_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    theirs = publish(tmp_path, network, monkeypatch)
    spec = cnnspec.load(network, input_shape=(3, 64, 64))
    found = named_weights("torchvision:DEFAULT", spec)
    assert found is not None
    ours = spec.build()
    ours.load_state_dict({name: torch.from_numpy(array) for name, array in found.tensors().items()})
    bytes_ = torch.rand(2, 3, 64, 64)
    assert found.images is not None
    preset = models.get_model_weights(network).DEFAULT.transforms()

    def normalised(mean: Any, std: Any) -> torch.Tensor:
        return (bytes_ - torch.tensor(mean).view(-1, 1, 1)) / torch.tensor(std).view(-1, 1, 1)

    with torch.inference_mode():
        wanted = theirs(normalised(preset.mean, preset.std))  # googlenet normalises once more
        given = ours.eval()(normalised(found.images.mean, found.images.std))
    assert (given - wanted).abs().max() < 1e-5 * wanted.abs().max()
    assert found.classes == tuple(models.get_model_weights(network).DEFAULT.meta["categories"])
    assert (found.images.size, found.images.resized) == (tuple(preset.crop_size * 2), preset.resize_size[0])


@pytest.mark.parametrize(
    ("name", "network", "origin"),
    [
        ("IMAGENET1K_V1", "resnet50", "torchvision's ResNet50_Weights.IMAGENET1K_V1"),
        ("DEFAULT", "resnet50", "torchvision's ResNet50_Weights.IMAGENET1K_V2"),
        ("ResNet18_Weights.IMAGENET1K_V1", "mine", "torchvision's ResNet18_Weights.IMAGENET1K_V1"),
        ("resnet18", "mine", "torchvision's ResNet18_Weights.IMAGENET1K_V1"),
    ],
)
def test_names(name: str, network: str, origin: str) -> None:
    assert torchvision_weights(name, network).origin == origin


@pytest.mark.parametrize(
    ("name", "network", "message", "hint"),
    [
        ("IMAGENET1K_V3", "resnet50", "torchvision has no weights `IMAGENET1K_V3` of resnet50", "IMAGENET1K_V2"),
        ("IMAGENET1K_V1", "mine", "torchvision has no network `mine`", "torchvision:NETWORK_Weights.IMAGENET1K_V1"),
        ("resnet51", "mine", "torchvision has no network `mine`", "resnet50"),
        ("ResNet81_Weights.DEFAULT", "mine", "torchvision has no weights `ResNet81_Weights`", "ResNet18_Weights"),
        ("SWAG", "resnet18", "torchvision has no weights `SWAG` of resnet18", "there are: IMAGENET1K_V1"),
    ],
)
def test_wrong_names_have_a_suggestion(name: str, network: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")) as caught:
        torchvision_weights(name, network)
    assert hint in str(caught.value.hint)


def test_a_damaged_file_is_refused_by_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch checks what it fetches, and takes whatever lies there already."""
    publish(tmp_path, SMALL, monkeypatch)
    (path,) = (tmp_path / "hub" / "checkpoints").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(CnnspecError, match="is damaged, or another file: its SHA-256 begins with") as caught:
        torchvision_weights("DEFAULT", SMALL).tensors()
    assert str(caught.value.hint).startswith("take it away, and it is fetched anew from https://models.invalid/")


def test_without_a_network_it_is_said_where_the_file_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    said: list[str] = []
    with pytest.raises(CnnspecError, match="are not on this machine, and cannot be fetched: no network here") as caught:
        torchvision_weights("IMAGENET1K_V1", "resnet18", said.append).tensors()
    file = "resnet18-f37072fd.pth"
    assert str(caught.value.hint).endswith(f"/{file} at {tmp_path / 'hub' / 'checkpoints' / file}")
    assert [text.partition(" ")[0] for text in said] == ["fetching"]
    assert not list((tmp_path / "hub" / "checkpoints").glob("*.pth"))


def test_training_starts_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    theirs = publish(tmp_path / "home", SMALL, monkeypatch)
    small = ["--set", "num_classes=10", "--input", "3x32x32", "--data", "fake", "--epochs", "1", "--threads", "1"]
    told = ["--weights", "torchvision:IMAGENET1K_V1", "--head-only", "--no-channels-last", "--batch-size", "256"]
    assert call("train", SMALL, *small, *told, "--name", "a") == 0
    err = capsys.readouterr().err
    assert "  reset          2  fc: 1,000 outputs there, 10 here" in err
    assert "10,250 of 352,042 parameters are trained" in err
    state, given = load_file("runs/a/last.safetensors"), theirs.state_dict()
    assert {name for name, tensor in state.items() if not torch.equal(tensor, given[name])} == {"fc.weight", "fc.bias"}
    assert json.loads(Path("runs/a/start.json").read_text())["source"] == "torchvision:IMAGENET1K_V1"


@pytest.mark.parametrize("size", [(300, 200), (120, 160), (224, 224)])
def test_a_ready_network_sees_a_photograph_as_torchvision_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """Resized, cropped and normalised as with the preset of the weights, under the names of its classes."""
    theirs = publish(tmp_path / "home", SMALL, monkeypatch)
    entry = models.get_model_weights(SMALL).DEFAULT
    image = Image.effect_mandelbrot(size, (-2.0, -1.2, 1.0, 1.2), 60).convert("RGB")
    image.save(tmp_path / "a.png")
    ready = api.ready(SMALL, "torchvision:DEFAULT", device="cpu", threads=1)
    prediction = ready(tmp_path / "a.png")[0]
    with torch.inference_mode():
        wanted = theirs(entry.transforms()(image)[None]).softmax(1)[0]
    assert np.abs(prediction.probabilities - wanted.numpy()).max() < 1e-6 * float(wanted.max())
    assert prediction.label == entry.meta["categories"][int(wanted.argmax())]
    assert ready.path == f"{SMALL} with torchvision's {entry}"


def test_an_exported_file_says_how_its_weights_want_images(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path / "home", SMALL, monkeypatch)
    monkeypatch.chdir(tmp_path)
    text = api.bundled_text(SMALL).replace(", mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]", "")
    Path("net.yaml").write_text(text)
    args = ["--input", "3x32x32", "--batch", "1", "--preprocess", "--weights", "torchvision:DEFAULT", "-o", "net.onnx"]
    assert call("export", "net.yaml", *args) == 0
    assert call("verify", "net.onnx") == 0  # with the mean and the std that the file says, and not its spec
    metadata = cnnspec.Predictor("net.onnx", device="cpu").metadata
    assert (metadata.mean, metadata.fit, metadata.resize) == ((0.485, 0.456, 0.406), "crop", 256)
    assert metadata.classes[0] == "tench"
    capsys.readouterr()
    assert call("predict", SMALL, "net.yaml") == 2
    assert "is a bundled network, and has no weights" in capsys.readouterr().err


def test_a_spec_may_name_what_torchvision_publishes_and_no_code_of_others() -> None:
    refuse_code("torchvision:IMAGENET1K_V1")
    for weights in ("timm:resnet18", "torchvision:resnet18(weights='DEFAULT')"):
        with pytest.raises(UsageError, match="runs the code of"):
            refuse_code(weights)


def test_timm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the cache of the hub, as it lies on a disk; timm's resnet18 has torchvision's names."""
    timm = pytest.importorskip("timm")
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(CnnspecError, match=r"timm's weights timm/resnet18.a1_in1k are not on this machine") as caught:
        timm_weights("resnet18").tensors()
    assert f"copy it to {tmp_path / 'models--timm--resnet18.a1_in1k'}" in str(caught.value.hint)
    with pytest.raises(UsageError, match=r"timm publishes no weights `resnet18\.a9_in1k`"):
        timm_weights("resnet18.a9_in1k")
    with pytest.raises(UsageError, match="has no model `resnet81`"):
        timm_weights("resnet81")
    torch.manual_seed(0)
    state = timm.create_model("resnet18").state_dict()
    folder = tmp_path / "models--timm--resnet18.a1_in1k"
    (folder / "snapshots" / "1").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("1")
    save_file(state, folder / "snapshots" / "1" / "model.safetensors")
    found = named_weights("timm:resnet18.a1_in1k", cnnspec.load("resnet18"))
    assert found is not None
    tensors = found.tensors()
    assert all(torch.equal(torch.from_numpy(tensors[name]), tensor) for name, tensor in state.items())
    assert found.classes[0].startswith("tench")
    assert found.images is not None
    assert (found.images.size, found.images.interpolation) == ((224, 224), "bicubic")
