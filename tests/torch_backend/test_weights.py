"""Weights go in strictly and come out whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import cnnspec
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.torch_backend import build_module, load_weights, read_weights, save_weights


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    module, other = cnnspec.build("simple_cnn"), cnnspec.build("simple_cnn")
    if name.endswith("safetensors"):
        save_weights(module, tmp_path / name)
    else:
        torch.save({"state_dict": module.state_dict()}, tmp_path / name)
    load_weights(other, tmp_path / name)
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in module.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_module_on_the_meta_device_takes_them(tmp_path: Path) -> None:
    module = cnnspec.build("simple_cnn")
    empty = build_module(cnnspec.load("simple_cnn").graph, device="meta")
    image = torch.randn(1, 1, 28, 28)
    save_weights(module, tmp_path / "w.safetensors")
    load_weights(empty, tmp_path / "w.safetensors")
    assert torch.equal(empty(image), module(image))


def test_every_fault_is_named_and_nothing_is_loaded(tmp_path: Path) -> None:
    module = cnnspec.build("simple_cnn")
    before = {key: value.clone() for key, value in module.state_dict().items()}
    state = {key: value + 1 for key, value in before.items()}
    state["fc.weight"] = torch.zeros(3, 320)
    state["head.weight"] = state.pop("conv2.bias")
    save_weights(state, tmp_path / "w.safetensors")
    with pytest.raises(CnnspecError) as caught:
        load_weights(module, tmp_path / "w.safetensors")
    assert "1 missing: conv2.bias" in caught.value.message
    assert "1 left over: head.weight" in caught.value.message
    assert "fc.weight (3x320, not 10x320)" in caught.value.message
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.filterwarnings("ignore")  # torch tells of what it means to change about such tensors
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda tensor: tensor.to_sparse(), "sparse"),
        (lambda tensor: tensor.to_sparse_csr(), "sparse"),
        (lambda tensor: torch.nested.nested_tensor([tensor]), "nested"),
        (lambda tensor: tensor.to("meta"), "without values"),
        (lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8), "quantised"),
        (lambda tensor: tensor.to(torch.complex64), "complex64"),
        (lambda tensor: tensor > 0, "bool"),
        (lambda tensor: tensor.int(), "int32"),
    ],
)
def test_a_tensor_of_another_kind_is_named(tmp_path: Path, make: Any, kind: str) -> None:
    module = cnnspec.build("simple_cnn")
    torch.save(module.state_dict() | {"fc.weight": make(module.state_dict()["fc.weight"])}, tmp_path / "w.pt")
    with pytest.raises(CnnspecError, match=rf"1 of another kind: fc\.weight \({kind}\)$"):
        load_weights(module, tmp_path / "w.pt")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_floating_point_of_any_width_is_taken(tmp_path: Path, kind: torch.dtype) -> None:
    module = cnnspec.build("simple_cnn")
    state = {name: tensor.to(kind) for name, tensor in module.state_dict().items()}
    torch.save(state, tmp_path / "w.pt")
    load_weights(module, tmp_path / "w.pt")
    assert torch.equal(module.state_dict()["fc.weight"], state["fc.weight"].float())


def test_names_are_texts(tmp_path: Path) -> None:
    torch.save({1: torch.zeros(1)}, tmp_path / "w.pt")
    with pytest.raises(CnnspecError, match="holds no state_dict"):
        read_weights(tmp_path / "w.pt")


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code ran",)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_files_that_are_no_weights(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    with pytest.raises(UsageError, match="no file of weights"):
        read_weights(path)
    for data in (b"", b"\x00" * 100, b"hello, these are no weights"):
        path.write_bytes(data)
        with pytest.raises(CnnspecError, match="cannot be read as weights"):
            read_weights(path)
    torch.save(Evil(), path)
    with pytest.raises(CnnspecError, match="cannot be read as weights"):
        read_weights(path)
    assert "code ran" not in capsys.readouterr().out
    if name == "w.pt":
        torch.save([1, 2], path)
        with pytest.raises(CnnspecError, match="holds no state_dict"):
            read_weights(path)


def test_a_pickled_model_is_told_to_save_its_state_dict(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pt")
    with pytest.raises(CnnspecError, match=r"holds a pickled `torch\.nn\.modules\.linear\.Linear`") as caught:
        read_weights(tmp_path / "model.pt")
    assert "state_dict()" in str(caught.value.hint)
    assert "\x1b" not in caught.value.message


@pytest.mark.filterwarnings("ignore:.*deprecated:FutureWarning", "ignore:.*deprecated:DeprecationWarning")
def test_a_torchscript_model_is_told_to_save_its_state_dict(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "script.pt")  # type: ignore[no-untyped-call]
    with pytest.raises(CnnspecError, match="is a TorchScript model") as caught:
        read_weights(tmp_path / "script.pt")
    assert "state_dict()" in str(caught.value.hint)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod."])
def test_the_prefixes_of_wrappers_are_taken_off(tmp_path: Path, prefix: str) -> None:
    module, other = cnnspec.build("simple_cnn"), cnnspec.build("simple_cnn")
    torch.save({f"{prefix}{name}": value for name, value in module.state_dict().items()}, tmp_path / "w.pt")
    load_weights(other, tmp_path / "w.pt")
    assert all(torch.equal(value, other.state_dict()[key]) for key, value in module.state_dict().items())


def test_a_network_may_have_a_layer_of_a_wrapper_s_name(tmp_path: Path) -> None:
    text = "cnnspec: 1\nname: a\ninput: [2]\nlayers:\n  module:\n    layers:\n      fc: Linear(3)\n"
    module = cnnspec.loads(text).build()
    save_weights(module, tmp_path / "w.safetensors")
    load_weights(module, tmp_path / "w.safetensors")


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    module = cnnspec.build("simple_cnn")
    path = tmp_path / "w.safetensors"
    save_weights(module, path)
    old = path.read_bytes()
    monkeypatch.setattr("cnnspec.files.os.replace", full)
    with pytest.raises(CnnspecError, match=r"cannot write .*No space left"):
        save_weights(module, path)
    assert path.read_bytes() == old
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_counters_of_batch_norm_may_be_missing(tmp_path: Path) -> None:
    spec = cnnspec.loads("cnnspec: 1\nname: a\ninput: [2, 4, 4]\nlayers:\n  bn: BatchNorm2d\n")
    module = spec.build()
    state = {key: value for key, value in module.state_dict().items() if not key.endswith("tracked")}
    save_weights(state, tmp_path / "w.safetensors")
    for tensor in module.state_dict().values():
        tensor.fill_(5)
    load_weights(module, tmp_path / "w.safetensors")
    loaded = module.state_dict()
    assert loaded.pop("bn.num_batches_tracked") == 0
    assert {key: value.tolist() for key, value in loaded.items()} == {
        "bn.weight": [1, 1], "bn.bias": [0, 0], "bn.running_mean": [0, 0], "bn.running_var": [1, 1]
    }  # fmt: skip


@pytest.mark.parametrize("name", ["n.yaml", "n.json"])
def test_a_spec_is_no_file_of_weights(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("cnnspec: 1\n")
    with pytest.raises(UsageError, match="is a spec by its name, and holds no weights") as caught:
        read_weights(tmp_path / name)
    assert "RUN/last.safetensors" in (caught.value.hint or "")
