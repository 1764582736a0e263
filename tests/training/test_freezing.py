"""Frozen layers stay bit for bit, thawed ones and rates are those of torch, and a run goes on from anywhere in it."""

from __future__ import annotations

import copy
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from emulated_graph import EmulatedSteps
from run_states import final_state, plain
from small_runs import TEXT, job, run
from test_learner import make_learner
from torch.nn import functional

import cnnspec
from cnnspec.analysis.freezing import Freezing, head_of, rate_scale
from cnnspec.errors import UsageError
from cnnspec.torch_backend import read_weights
from cnnspec.training import keeper
from cnnspec.training.config import TrainConfig
from cnnspec.training.distributed import Ranks
from cnnspec.training.feed import Feed
from cnnspec.training.loop import run as run_loop
from cnnspec.training.loop import train
from cnnspec.training.process import process_restored
from cnnspec.training.progress import Silent
from cnnspec.training.run_folder import open_run
from cnnspec.training.schedule import learning_rate
from cnnspec.training.signals import Interrupted
from cnnspec.training.start import trained_in_words

DEEP = TEXT.replace("  bn:", "  conv2: Conv2d(8, 3)\n  bn:")
SLOWLY: dict[str, Any] = {"head_only": True, "unfreeze": {"conv2": 2, "bn": 2, "*": 3}, "lr_scale": {"conv2": 0.3}}


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("lenet5", {"OUTPUT"}),
        ("resnet18", {"fc"}),
        ("vgg11", {"classifier.6"}),
        ("densenet121", {"classifier"}),
        ("squeezenet1_0", {"classifier.1"}),  # a convolution, an activation and a pool before the output
        ("googlenet", {"fc", "aux1.fc2", "aux2.fc2"}),
        ("convnext_tiny", {"classifier.2"}),
        ("unet", {"outc"}),
    ],
)
def test_heads(name: str, head: set[str]) -> None:
    assert set(head_of(cnnspec.load(name).graph)) == head


def test_a_norm_behind_the_last_layer_is_of_the_head() -> None:
    text = "cnnspec: 1\ninput: [4]\nlayers: {a: Linear(3), b: Linear(2), n: BatchNorm1d, r: ReLU}\n"
    assert head_of(cnnspec.loads(text).graph) == ("b", "n")


@pytest.mark.parametrize(
    ("options", "frozen"),
    [
        ({"freeze_until": "bn"}, {"conv", "conv2"}),
        ({"freeze_until": "fc"}, {"conv", "conv2", "bn"}),  # what follows them runs as in training, dropout too
        ({"head_only": True}, {"conv", "conv2", "bn"}),
        ({"freeze": ("conv2", "drop")}, {"conv2", "drop"}),
        ({"freeze": ("conv.bias",), "freeze_until": "conv2"}, {"conv.bias", "conv"}),
        ({"head_only": True, "unfreeze": {"bn": 2}}, {"conv", "conv2"}),
        ({"head_only": True, "unfreeze": {"bn": 2, "*": 3}}, set()),
    ],
)
def test_what_is_frozen_for_good(options: dict[str, Any], frozen: set[str]) -> None:
    assert TrainConfig(**options).freezing.at(cnnspec.loads(DEEP).graph) == frozen


def test_dropout_within_what_is_frozen_is_off_and_right_before_the_head_is_on() -> None:
    graph = cnnspec.load("vgg11").graph
    frozen = Freezing(head_only=True).at(graph)
    assert {"classifier.2", "features.1"} <= frozen
    assert not {"classifier.5", "classifier.6"} & frozen


def test_layers_thaw_in_their_epochs() -> None:
    graph, freezing = cnnspec.loads(DEEP).graph, TrainConfig(**SLOWLY).freezing
    assert [freezing.at(graph, epoch) for epoch in range(3)] == [{"conv", "conv2", "bn"}, {"conv"}, set()]
    assert [freezing.thawed(epoch) for epoch in range(4)] == [(), ("conv2", "bn"), ("*",), ()]
    assert trained_in_words(graph, TrainConfig(**SLOWLY)) == (
        "330 of 682 parameters are trained at first, and 682 in the end"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": ("cov",)}, r"--freeze cov: no parameter of the network begins with that name"),
        ({"freeze_until": "cov2"}, r"--freeze-until cov2: no parameter of the network begins with that name"),
        ({"freeze_until": "conv"}, r"--freeze-until conv: no layer with parameters runs before it"),
        ({"freeze_until": "fc", "head_only": True}, r"--head-only and --freeze-until say two things"),
        ({"freeze": ("conv", "conv2", "bn", "fc")}, r"--freeze conv,conv2,bn,fc leaves nothing to train"),
        ({"unfreeze": {"conv": 2}}, r"--unfreeze conv=2: it is not frozen"),
        ({"unfreeze": {"*": 2}}, r"--unfreeze wants layers that are frozen"),
        ({"head_only": True, "unfreeze": {"fc": 2}}, r"--unfreeze fc=2: it is not frozen"),
        ({"head_only": True, "unfreeze": {"conv": 4}}, r"--unfreeze conv=4: the run has 3 epochs"),
        ({"lr_scale": {"fx": 2.0}}, r"--lr-scale fx: no parameter"),
        (
            {"head_only": True, "lr_scale": {"conv": 0.1}},
            r"--lr-scale conv=0.1: it is frozen, so that no rate moves it",
        ),
    ],
)
def test_what_says_nothing_is_refused_before_anything_is_written(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "run", text=DEEP, **options)
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_options_that_cannot_be() -> None:
    for options, message in (
        ({"unfreeze": {"fc": 1}}, "`unfreeze`: fc: input should be greater than or equal to 2"),
        ({"lr_scale": {"fc": 0}}, "`lr_scale`: fc: input should be greater than 0"),
        ({"lr_scale": {"fc": "much"}}, "`lr_scale`: fc: input should be a valid number"),
    ):
        with pytest.raises(UsageError, match=message):
            TrainConfig(**options)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_frozen_tensors_are_equal_bit_for_bit_and_the_others_are_not(tmp_path: Path, optimizer: str) -> None:
    """Weight decay, momentum and the statistics of batch norm leave them alone."""
    begun = make_learner(tmp_path / "x", None, text=DEEP).model.state_dict()
    run(tmp_path / "run", text=DEEP, freeze_until="fc", epochs=2, ema=None, optimizer=optimizer, lr=0.01)
    state = read_weights(tmp_path / "run" / "last.safetensors")
    changed = {name for name, tensor in state.items() if not torch.equal(tensor, begun[name])}
    assert changed == {"fc.weight", "fc.bias"}
    assert open_run(tmp_path / "run").trainable_params == 330 == sum(state[name].numel() for name in changed)


def test_gradual_thawing_moves_a_layer_from_its_epoch_on(tmp_path: Path) -> None:
    begun = make_learner(tmp_path / "x", None, text=DEEP).model.state_dict()
    said: list[str] = []

    class Listener(Silent):
        def message(self, text: str) -> None:
            said.append(text)

        def epoch(self, metrics: Any) -> bool:
            return False

    states = []
    for epochs in (1, 2, 3):
        thaw = {name: first for name, first in SLOWLY["unfreeze"].items() if first <= epochs}
        options = {**SLOWLY, "unfreeze": thaw, "lr_scale": {}}
        train(job(tmp_path / str(epochs), text=DEEP, epochs=epochs, ema=None, **options), Listener())
        states.append(read_weights(tmp_path / str(epochs) / "last.safetensors"))
    moved = [{name.split(".")[0] for name, t in state.items() if not torch.equal(t, begun[name])} for state in states]
    assert moved == [{"fc"}, {"fc", "conv2", "bn"}, {"fc", "conv", "conv2", "bn"}]
    assert [text for text in said if text.startswith("trained from")][-2:] == [
        "trained from epoch 2 on: conv2, bn", "trained from epoch 3 on: *",
    ]  # fmt: skip


@pytest.mark.parametrize("options", [{"nesterov": True}, {"optimizer": "adamw"}, {"decay_norms": False}])
def test_rates_are_those_of_param_groups_of_torch_bit_for_bit(tmp_path: Path, options: dict[str, Any]) -> None:
    scales = {"conv2": 0.3, "fc": 2.0, "*": 0.1}
    with process_restored(torch.device("cpu")):
        text = DEEP.replace("  drop: Dropout(0.1)\n", "")
        learner = make_learner(
            tmp_path / "a", None, text=text, lr_scale=scales, ema=None, rotate=0.0, shift=0, **options
        )
        config, plan = learner.plan.config, learner.plan
        theirs = copy.deepcopy(learner.model)
        named = dict(theirs.named_parameters())
        base = {name: {"conv2": 0.3, "fc": 2.0}.get(name.split(".")[0], 0.1) for name in named}
        decay = {
            name: 0.0 if named[name].ndim == 1 and not config.decay_norms else config.weight_decay for name in named
        }
        groups = [{"params": [named[name]], "weight_decay": decay[name]} for name in named]
        kind: Any = torch.optim.SGD if config.optimizer == "sgd" else torch.optim.AdamW
        more = {"momentum": config.momentum, "nesterov": config.nesterov} if config.optimizer == "sgd" else {}
        optimizer = kind(groups, lr=1.0, fused=True, **more)
        learner.begin_epoch()
        theirs.train()
        for step, batch in enumerate(Feed(plan, 0, 0, learner.loaders)):
            for name, group in zip(named, optimizer.param_groups, strict=True):
                group["lr"] = learning_rate(config, step, plan.steps, plan.steps_per_epoch) * base[name]
            loss = functional.cross_entropy(theirs(learner.prepare(batch.images, None)), batch.targets, reduction="sum")
            loss.backward(torch.tensor(1 / batch.size))
            optimizer.step()
            optimizer.zero_grad()
            learner.step(batch, step)
            state = learner.model.state_dict()
            assert all(torch.equal(tensor, state[name]) for name, tensor in theirs.state_dict().items())
        assert step >= 5


def test_the_innermost_name_decides_the_rate() -> None:
    scales = {"layer4": 0.3, "layer4.1": 0.5, "layer4.1.bn.weight": 2.0, "*": 0.1}
    names = ("layer4.0.conv.weight", "layer4.1.conv.weight", "layer4.1.bn.weight", "layer41.weight")
    assert [rate_scale(name, scales) for name in names] == [0.3, 0.5, 2.0, 0.1]
    assert rate_scale("fc", {"layer4": 0.3}) == 1.0


ADAM: dict[str, Any] = {
    **SLOWLY, "optimizer": "adam", "lr": 0.01, "decay_norms": False, "text": DEEP, "checkpoint_every": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run in which layers thaw."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder, **ADAM)
    return folder


@pytest.mark.parametrize("at", [5, 12, 14, 24])
def test_a_run_that_thaws_goes_on_bit_for_bit(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """A signal comes in the `at`-th save, of 12 in each epoch: within epochs, and right before a layer is thawed."""
    count, save = 0, keeper.snapshot

    def saving(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            signal.raise_signal(signal.SIGINT)
        return save(*arguments)

    monkeypatch.setattr(keeper, "snapshot", saving)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", **ADAM)
    run(tmp_path / "run", resume=True, **ADAM)
    assert final_state(tmp_path / "run") == final_state(whole)


def test_a_step_is_recorded_anew_where_a_layer_thaws(tmp_path: Path) -> None:
    """What was recorded before would leave the layer as it was."""
    with process_restored(torch.device("cpu")):
        wanted = make_learner(tmp_path / "plain", None, text=DEEP, **SLOWLY)
        run_loop(wanted, Silent())
        learner = make_learner(tmp_path / "recorded", EmulatedSteps, text=DEEP, **SLOWLY)
        before = learner.recorded
        run_loop(learner, Silent())
    assert learner.recorded is not before
    for one, two in ((wanted.model, learner.model), (wanted.averaged, learner.averaged)):
        assert one is not None
        assert two is not None
        assert plain(one.state_dict()) == plain(two.state_dict())


def test_processes_average_what_is_trained_now(tmp_path: Path) -> None:
    """What wraps the network for several processes is made anew: it knows only the parameters that it began with."""
    learner = make_learner(tmp_path / "run", None, text=DEEP, **SLOWLY)
    wrapped = []

    class Wrapping(Ranks):
        def wrap(self, model: Any, *arguments: Any, **options: Any) -> Any:
            wrapped.append([name for name, each in model.named_parameters() if each.requires_grad])
            return model

    object.__setattr__(learner.plan, "ranks", Wrapping())
    for epoch in range(4):
        learner.begin_epoch(epoch)
    assert [sorted({name.split(".")[0] for name in names}) for names in wrapped] == [
        ["bn", "conv2", "fc"], ["bn", "conv", "conv2", "fc"],
    ]  # fmt: skip


def test_what_training_trains_is_what_inspect_counts(tmp_path: Path) -> None:
    for line, expected in (
        ("train: {head_only: true}", 330),
        ("train: {freeze_until: bn}", 346),
        ("train: {freeze_until: fc, unfreeze: {bn: 2}}", 346),
        ("train: {head_only: true, unfreeze: {'*': 3}, lr_scale: {conv: 0.1}}", 682),
        ("train: {freeze_until: nothing}", 682),  # training refuses it
    ):
        assert cnnspec.loads(f"{DEEP}{line}\n").analyze(purpose="train").totals.trainable_params == expected
