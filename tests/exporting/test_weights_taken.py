"""What `--weights` takes, in training and in export alike: files of both kinds, wrapped ones, runs and their names."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.numpy_helper import to_array
from safetensors.torch import load_file, save_file

import cnnspec
from cnnspec import api
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.torch_backend import build_module
from cnnspec.torch_backend.weights import read_weights
from cnnspec.training.config import TrainConfig
from cnnspec.training.start import build_network
from cnnspec.training.starting import Start, start_from

CPU = torch.device("cpu")

SPEC = cnnspec.loads("cnnspec: 1\nname: a\ninput: [1, 8, 8]\nlayers:\n  flatten: Flatten\n  fc: Linear(10)\n")
STATE = SPEC.build().state_dict()


def as_run(folder: Path) -> None:
    """A run `folder/runs/a` with STATE as its best weights."""
    save_file(STATE, "start.safetensors")
    options = {"epochs": 1, "threads": 1, "lr": 1e-9, "weight_decay": 0.0, "batch_size": 512}
    api.train(SPEC, runs=folder / "runs", name="a", weights="start.safetensors", **options)


def wrapped(folder: Path) -> None:
    torch.save({"model": {f"module.{name}": value for name, value in STATE.items()}}, folder / "wrapped.pth")


WAYS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "safetensors": (lambda folder: save_file(STATE, folder / "w.safetensors"), "w.safetensors"),
    "torch": (lambda folder: torch.save(STATE, folder / "w.pt"), "w.pt"),
    "wrapped": (wrapped, "wrapped.pth"),
    "a run": (as_run, "runs/a"),
    "the name of a run": (as_run, "a"),
}


@pytest.mark.parametrize("way", WAYS)
def test_training_and_export_take_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.chdir(tmp_path)
    make, name = WAYS[way]
    make(tmp_path)
    wanted = load_file("runs/a/best.safetensors") if "run" in way else STATE
    network = build_network(SPEC.graph, TrainConfig(weights=name), CPU, weights=begun(SPEC.graph, name))
    assert torch.equal(network.state_dict()["fc.weight"], wanted["fc.weight"])
    api.export(SPEC, "a.onnx", weights=name, verify=False)
    arrays = {tensor.name: to_array(tensor) for tensor in onnx.load("a.onnx").graph.initializer}
    np.testing.assert_array_equal(arrays["fc.weight"], wanted["fc.weight"].numpy())


def begun(graph: Graph, source: str, **options: Any) -> Start:
    return start_from(graph, TrainConfig(weights=source, **options), source)


def test_a_head_of_other_classes_starts_fresh_and_this_is_told(tmp_path: Path) -> None:
    """The weights of a thousand classes, for a network of two."""
    published = cnnspec.load("squeezenet1_1").build().state_dict()
    torch.save(published, tmp_path / "published.pth")
    graph = cnnspec.load("squeezenet1_1", params={"num_classes": 2}).graph
    start = begun(graph, str(tmp_path / "published.pth"))
    assert start.table() == [
        f"tensors of {tmp_path / 'published.pth'}:",
        "  taken         50  features",
        "  reset          2  classifier.1: 1,000 outputs there, 2 here",
        "  left over      0",
    ]
    assert start.to_dict()["reset"] == [
        {"name": "classifier.1.weight", "given": [1000, 512, 1, 1], "shape": [2, 512, 1, 1]},
        {"name": "classifier.1.bias", "given": [1000], "shape": [2]},
    ]
    state = build_network(graph, TrainConfig(), CPU, weights=start).state_dict()
    assert all(torch.equal(state[name], published[name]) for name in start.tensors)
    assert len(state) == 52


def test_of_two_heads_both_start_fresh_or_none(tmp_path: Path) -> None:
    text = "cnnspec: 1\ninput: [4]\nlayers: {a: Linear(3), b: Linear(N), c: Linear(M)(a)}\noutputs: [b, c]\n"
    torch.save(cnnspec.loads(text.replace("N", "5").replace("M", "5")).build().state_dict(), tmp_path / "w.pt")
    start = begun(cnnspec.loads(text.replace("N", "2").replace("M", "7")).graph, str(tmp_path / "w.pt"))
    assert start.head == ("b", "c")
    graph = cnnspec.loads(text.replace("N", "2").replace("M", "5")).graph
    with pytest.raises(CnnspecError, match=r"2 of another shape: b\.weight \(5x3, not 2x3\)") as caught:
        build_network(graph, TrainConfig(), CPU, weights=begun(graph, str(tmp_path / "w.pt")))
    assert caught.value.hint == "`--reset b` lets that layer start fresh"


def test_what_is_of_another_shape_or_name_is_told_with_the_ways_out(tmp_path: Path) -> None:
    text = "cnnspec: 1\ninput: [4]\nlayers: {a: Linear(3), b: Linear(3), head: Linear(2), tail: Linear(2)}\n"
    torch.save(cnnspec.loads(text).build().state_dict(), tmp_path / "w.pt")
    graph = cnnspec.loads(text.replace("tail", "last")).graph
    with pytest.raises(CnnspecError, match=r"2 missing: last.weight, last.bias; 2 left over: tail.weight") as caught:
        build_network(graph, TrainConfig(), CPU, weights=begun(graph, str(tmp_path / "w.pt")))
    assert caught.value.hint == (
        "`--reset last` lets that layer start fresh and `--leave-out tail` lets that layer be left over"
    )
    start = begun(graph, str(tmp_path / "w.pt"), reset=("last",), leave_out=("tail",))
    build_network(graph, TrainConfig(), CPU, weights=start)
    assert start.table()[1:] == [
        "  taken          6  a, b, head", "  reset          2  last", "  left over      2  tail",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="--leave-out tall: no tensor of the weights begins with that name") as wrong:
        begun(graph, str(tmp_path / "w.pt"), leave_out=("tall",))
    assert "tail" in (wrong.value.hint or "")
    with pytest.raises(UsageError, match="--reset lost: no parameter of the network"):
        begun(graph, str(tmp_path / "w.pt"), reset=("lost",))


def test_weights_of_another_network_are_not_told_to_reset_all_of_it(tmp_path: Path) -> None:
    save_file(build_module(cnnspec.load("mlp").graph).state_dict(), tmp_path / "w.safetensors")
    source = str(tmp_path / "w.safetensors")
    with pytest.raises(CnnspecError, match="do not fit the network") as caught:
        build_network(SPEC.graph, TrainConfig(), CPU, weights=begun(SPEC.graph, source))
    assert caught.value.hint is None


def test_what_is_neither_a_file_nor_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("absent", "empty"):
        with pytest.raises(UsageError, match=f"there is no file of weights {name}, and no run"):
            api.export(SPEC, "a.onnx", weights=name, verify=False)


@pytest.mark.parametrize(
    "content", [b"", b"hello" * 100, b"PK\x03\x04", b"\x80\x02."], ids=["empty", "text", "zip", "pickle"]
)
def test_what_is_no_file_of_torchs_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(CnnspecError, match=r"w\.pt cannot be read as weights: it is no file that `torch\.save` wrote"):
        read_weights(tmp_path / "w.pt")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_damaged_file_of_torchs_is_never_a_traceback(tmp_path: Path, zipped: bool) -> None:
    content = io.BytesIO()
    torch.save({"a": torch.zeros(2, 3)}, content, _use_new_zipfile_serialization=zipped)
    raw, numbers = content.getvalue(), random.Random(0)
    for _ in range(300):
        damaged = bytearray(raw)
        damaged[numbers.randrange(min(len(raw), 600))] = numbers.randrange(256)
        (tmp_path / "w.pt").write_bytes(damaged[: len(raw) if numbers.random() < 0.8 else numbers.randrange(len(raw))])
        with warnings.catch_warnings(action="ignore"), suppress(CnnspecError):  # a byte in the numbers is not seen
            read_weights(tmp_path / "w.pt")


def test_an_npz_file_is_said_to_be_no_file_of_torchs(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{name: tensor.numpy() for name, tensor in STATE.items()})
    with pytest.raises(CnnspecError, match=r"it is no file that `torch\.save` wrote"):
        read_weights(tmp_path / "w.npz")
