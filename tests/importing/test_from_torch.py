"""Live modules as specs: equal in outputs, weights and costs, and what cannot be said is told."""

from __future__ import annotations

import inspect
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_nets import NETWORKS, Headed, Of
from torch import nn
from torch.utils import _pytree as pytree

import cnnspec
from cnnspec import api
from cnnspec.errors import CnnspecError, UsageError


def made(build: Any) -> nn.Module:
    torch.manual_seed(0)
    module: nn.Module = build()
    for buffer in module.buffers():
        if buffer.is_floating_point():
            buffer.uniform_(0.5, 1.5)
    return module


@pytest.mark.parametrize("name", NETWORKS)
def test_a_module_is_said_and_gives_the_same(name: str) -> None:
    build, shape = NETWORKS[name]
    module = made(build)
    with torch.no_grad():
        module(torch.zeros(2, *shape))  # lazy layers
    module.eval()
    spec = cnnspec.from_torch(module, torch.zeros(1, *shape), name=name)
    assert {check.name: check.passed for check in spec.checks} == dict.fromkeys(
        ("text", "tensors", "MACs", "outputs", "layers"), True
    )
    built, batch = spec.build().eval(), torch.randn(3, *shape)
    with torch.no_grad():
        wanted, found = pytree.tree_leaves(module(batch)), pytree.tree_leaves(built(batch))
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    again = cnnspec.loads(spec.text)  # the text alone is the network
    assert again.graph.state_shapes() == {key: tuple(each.shape) for key, each in spec.weights().items()}


def test_what_only_training_has_is_kept() -> None:
    spec = cnnspec.from_torch(made(Headed), (3, 8, 8))
    assert spec.graph.aux_outputs == ("aux",)
    assert "StochasticDepth(0.25)" in spec.text
    assert "Dropout(0.3)" in spec.text


def test_the_module_stays_as_it_is() -> None:
    module = made(Headed).train()
    module.fc.eval()  # type: ignore[union-attr]
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    cnnspec.from_torch(module, (3, 8, 8))
    assert module.training
    assert not module.fc.training  # type: ignore[union-attr]
    assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())


def test_layers_keep_their_names_where_they_can() -> None:
    build, shape = NETWORKS["resnet"]
    module = made(build)
    assert [*cnnspec.from_torch(module, shape).weights()] == [*module.state_dict()]


def test_one_layer_in_a_list_of_lists_is_no_repetition() -> None:
    def stage(*widths: int) -> nn.Sequential:
        pairs = zip((4, *widths), widths, strict=False)
        return nn.Sequential(*(nn.Sequential(nn.Conv2d(a, b, 3, padding=1), nn.ReLU()) for a, b in pairs))

    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Sequential(stage(4), stage(4, 8, 4), stage(4, 4)))
    spec = cnnspec.from_torch(module, (3, 8, 8))
    assert "* 1" not in spec.text
    assert "* 2" in spec.text
    assert [*spec.weights()] == [*module.state_dict()]


def test_what_is_renamed_is_said() -> None:
    build, shape = NETWORKS["unet"]
    spec = cnnspec.from_torch(made(build), shape)
    assert any("`downs.0` is `downs_0`" in note for note in spec.notes)


def gaps(forward: Any, shape: tuple[int, ...] = (3, 8, 8), **children: nn.Module) -> list[tuple[str, str]]:
    with pytest.raises(api.GapsError) as caught:
        cnnspec.from_torch(Of(forward, **children), shape)
    assert caught.value.exit_code == 1
    return [(gap.layer, gap.missing) for gap in caught.value.gaps]


def test_all_gaps_are_told_at_once() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = torch.fft.rfft(self.conv(x)).real
        return torch.cumsum(x, 2)

    found = gaps(forward, conv=nn.Conv2d(3, 4, 1))
    assert any("cumsum" in missing for _, missing in found)
    assert any("fft" in missing for _, missing in found)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm, self.head = nn.Conv1d(4, 16, 5), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(self.conv(x).transpose(1, 2))[0][:, -1])


class Attentive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mha = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.mha(x, x, x)[0]


@pytest.mark.parametrize(
    ("build", "shape", "gap"),
    [(Recurrent, (4, 24), ("lstm", "aten.lstm")), (Attentive, (5, 8), ("mha", "MultiheadAttention"))],
)
def test_a_layer_that_cannot_be_said_is_one_gap_and_none_follows_from_it(build: Any, shape: Any, gap: Any) -> None:
    with pytest.raises(api.GapsError) as caught:
        cnnspec.from_torch(build().eval(), shape)
    assert [(each.layer, each.call) for each in caught.value.gaps] == [gap]


class Gated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


def test_axes_that_are_added_one_by_one_are_added_at_once() -> None:
    spec = cnnspec.from_torch(Gated().eval(), (4, 6, 6))
    assert "unsqueeze: Unflatten(1, unflattened_size=(-1, 1, 1))" in spec.text
    assert all(check.passed for check in spec.checks)


def test_a_module_that_is_called_twice_is_refused_by_name() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.conv(self.conv(x))

    ((layer, missing),) = gaps(forward, conv=nn.Conv2d(3, 3, 1))
    assert layer == "conv_2"
    assert "`conv`" in missing


def test_a_reshape_that_mixes_samples_is_refused() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).reshape(1, -1)

    assert "samples" in gaps(forward, conv=nn.Conv2d(3, 4, 1))[0][1]


def test_attention_is_called_by_what_it_is() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(2)
        return flat @ flat.transpose(1, 2)

    assert "a product of two layers' values" in [missing for _, missing in gaps(forward)]


@pytest.mark.parametrize("shape", [(-1, 8, 8), (3, 0, 8), (), "3x8x8", None, 3, (3.0, 8, 8), [[3]]])
def test_a_shape_that_is_none_is_an_error_of_ours(shape: object) -> None:
    with pytest.raises(UsageError):
        cnnspec.from_torch(nn.Conv2d(3, 4, 3), shape)


@pytest.mark.parametrize("module", [None, "resnet18", nn.Conv2d, torch.zeros(3)])
def test_what_is_no_module_is_an_error_of_ours(module: object) -> None:
    with pytest.raises(UsageError, match=r"torch\.nn\.Module"):
        cnnspec.from_torch(module, (3, 8, 8))


def test_a_module_that_does_not_take_the_input_says_why() -> None:
    with pytest.raises(CnnspecError, match="cannot export"):
        cnnspec.from_torch(nn.Conv2d(4, 4, 3), (3, 8, 8))


class Deciding(nn.Module):
    """It does one thing or another, as the values are."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.conv(x)
        return x if x.sum() > 0 else -x


def test_a_branch_on_values_is_told_with_its_place(capfd: pytest.CaptureFixture[str]) -> None:
    line = inspect.getsourcelines(Deciding.forward)[1] + 2
    with pytest.raises(CnnspecError, match=rf"values of a tensor in line {line} of {Path(__file__).name}"):
        cnnspec.from_torch(Deciding(), (3, 8, 8))
    assert capfd.readouterr() == ("", "")  # torch prints the half of a graph


class Gained(nn.Module):
    """A branch with a gain of its own, which begins at nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.gain = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.conv(x) * self.gain


def test_a_gain_without_axes_is_proved() -> None:
    spec = cnnspec.from_torch(Gained(), (3, 8, 8))
    assert all(check.passed for check in spec.checks)


@pytest.mark.filterwarnings("ignore")  # torch's former norms are deprecated
@pytest.mark.parametrize("kind", [nn.utils, nn.utils.parametrizations])
def test_weights_that_are_worked_out_are_folded(kind: Any) -> None:
    torch.manual_seed(0)
    convolutions = kind.weight_norm(nn.Conv1d(2, 8, 3)), kind.spectral_norm(nn.Conv1d(8, 8, 3, bias=False))
    module = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(8 * 28, 4))
    keys = list(module.state_dict())
    spec = cnnspec.from_torch(module, (2, 32))
    assert list(spec.weights()) == ["0.weight", "0.bias", "1.weight", "3.weight", "3.bias"]
    batch = torch.randn(3, 2, 32)
    with torch.no_grad():
        assert torch.equal(spec.build().eval()(batch), module.eval()(batch))
    assert "folded into their weights, 2 in all" in spec.notes[0]
    assert list(module.state_dict()) == keys


def test_what_cannot_be_copied_is_told() -> None:
    module = nn.Conv2d(3, 4, 3)
    module.lock = threading.Lock()
    with pytest.raises(CnnspecError, match="cannot be copied: TypeError"):
        cnnspec.from_torch(module, (3, 8, 8))


def test_lazy_layers_want_an_example_first() -> None:
    with pytest.raises(UsageError, match="lazy"):
        cnnspec.from_torch(nn.LazyConv2d(4, 3), (3, 8, 8))


def test_weights_that_would_be_confused_are_seen() -> None:
    """Fresh norms have gains of 1 and shifts of 0: two that change places show only where they are varied."""
    from cnnspec.foreign import Stored
    from cnnspec.importing.pipeline import import_models
    from cnnspec.torch_backend.capture import capture

    module = nn.Sequential(nn.BatchNorm2d(3), nn.BatchNorm2d(3)).eval()
    imported = import_models("two", [capture(module, (3, 4, 4), "two")])
    (member,) = imported.members
    keys = dict(member.keys)
    keys["0.running_mean"], keys["1.running_mean"] = keys["1.running_mean"], keys["0.running_mean"]
    assert isinstance(keys["0.running_mean"], Stored)
    member.__dict__["keys"] = keys
    with pytest.raises(cnnspec.VerificationError, match="outputs"):
        imported.proved()


def test_the_weights_are_arrays_by_name() -> None:
    weights = cnnspec.from_torch(nn.Conv2d(3, 4, 3), (3, 8, 8)).weights()
    assert all(isinstance(array, np.ndarray) for array in weights.values())


def test_noise_that_no_operator_makes_is_left_out_and_said() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Dropout2d(0.2), nn.Conv2d(4, 4, 1), nn.Dropout2d(0.2))
    spec = cnnspec.from_torch(module, (3, 4, 4))
    assert [node.op.op_name for node in spec.graph] == ["Conv2d", "Conv2d"]
    assert [note for note in spec.notes if "left out" in note] == [
        "the noise of `1` and 1 more are left out: in training a spec drops single numbers or whole paths"
    ]


def test_what_all_numbers_of_a_trained_tensor_are_is_how_it_starts() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return self.prelu(self.gamma * x) + self.beta

    module = Of(forward, prelu=nn.PReLU(init=0.1))
    module.gamma = nn.Parameter(torch.full((3, 1, 1), 1e-6))  # type: ignore[assignment]
    module.beta = nn.Parameter(torch.tensor([[[0.5]], [[0.25]], [[0.5]]]))  # type: ignore[assignment]
    spec = cnnspec.from_torch(module, (3, 4, 4))
    assert [node.op.arguments() for node in spec.graph] == [{"init": 1e-6}, {"init": 0.1}, {}]


def test_gains_without_shifts_are_a_norm_and_a_factor() -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.group_norm(self.conv(x), 2, self.norm.weight)

    spec = cnnspec.from_torch(Of(forward, conv=nn.Conv2d(3, 4, 1), norm=nn.GroupNorm(2, 4)), (3, 4, 4))
    assert [node.op.op_name for node in spec.graph] == ["Conv2d", "GroupNorm", "Scale"]
    assert spec.weights().keys() == {"conv.weight", "conv.bias", "norm.weight"}
