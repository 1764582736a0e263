"""The loop learns, writes what it promises, and continues a cut-off run as if nothing had happened."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from run_states import final_state, plain
from small_runs import TEXT, job, run

import cnnspec
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.torch_backend import build_module, load_weights, read_weights, save_weights
from cnnspec.training import keeper, learner, loop
from cnnspec.training.checkpoint import load_checkpoint
from cnnspec.training.progress import Silent
from cnnspec.training.run_folder import open_run
from cnnspec.training.run_writer import RunFolder
from cnnspec.training.signals import Interrupted

AUX = TEXT + "  head: Linear(10)(flatten)\noutputs: [fc]\naux_outputs: [head]\n"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    run(folder)
    return folder


def test_it_learns_and_says_how_well(whole: Path) -> None:
    result = json.loads((whole / "result.json").read_text())
    assert result["test_accuracy"] > 0.6
    assert result["test_images"] == 359


def test_the_folder_holds_what_is_promised(whole: Path) -> None:
    names = {path.name for path in whole.iterdir()}
    assert names == {
        ".lock", "spec.yaml", "config.yaml", "environment.json", "classes.json", "metrics.jsonl", "results.csv",
        "best.safetensors", "last.safetensors", "manifest.json", "result.json", "curves.png", "confusion.png",
        "checkpoints",
    }  # fmt: skip
    found = open_run(whole)
    assert found.graph.name == "small"
    assert len(found.metrics) == 3
    assert found.classes == tuple("0123456789")
    load_weights(build_module(found.graph), found.weights)
    assert (whole / "results.csv").read_text().splitlines()[0].startswith("epoch,step,lr,train_loss")


def test_the_best_epoch_is_the_one_of_the_highest_validation_accuracy(whole: Path) -> None:
    found = open_run(whole)
    assert found.result is not None
    best = max(found.metrics, key=lambda epoch: (epoch.val_accuracy, -epoch.val_loss))
    assert found.result["best_epoch"] == best.epoch


def test_the_configuration_reproduces_the_run(whole: Path, tmp_path: Path) -> None:
    cnnspec.api.train(whole / "spec.yaml", config=whole / "config.yaml", runs=tmp_path, name="again")
    assert final_state(tmp_path / "again") == final_state(whole)


def test_pooling_first_changes_no_bit(whole: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", pool_first=False)
    assert final_state(tmp_path / "run") == final_state(whole)


def test_the_seed_matters(whole: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", seed=1)
    assert final_state(tmp_path / "run")[0] != final_state(whole)[0]


@pytest.mark.parametrize("at", [1, 11, 12, 13, 25, 33])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_cut_off_anywhere_ends_bit_for_bit_the_same(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int, number: signal.Signals
) -> None:
    """A signal arrives during the `at`-th save, of 11 in each epoch and one after it."""
    count = 0
    save = keeper.snapshot

    def saving(*arguments: Any) -> Path:
        nonlocal count
        count += 1
        if count == at:
            signal.raise_signal(number)
            signal.raise_signal(number)
        return save(*arguments)

    monkeypatch.setattr(keeper, "snapshot", saving)
    with pytest.raises(Interrupted) as caught:
        run(tmp_path / "run", checkpoint_every=0.0)
    assert caught.value.exit_code == 128 + number
    steps = (at - 1) // 12 * 11 + min((at - 1) % 12 + 1, 11)
    assert f"stopped after {steps} of 33" in caught.value.message
    run(tmp_path / "run", resume=True, checkpoint_every=0.0)
    assert final_state(tmp_path / "run") == final_state(whole)


def signal_in_evaluation(number: signal.Signals, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal comes when the network is evaluated for the `at`-th time."""
    evaluate = learner.evaluate
    count = 0

    def evaluating(*arguments: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == at:
            signal.raise_signal(number)
        return evaluate(*arguments, **options)

    monkeypatch.setattr(learner, "evaluate", evaluating)


def test_a_signal_during_evaluation(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_in_evaluation(signal.SIGINT, 2, monkeypatch)
    with pytest.raises(Interrupted):
        run(tmp_path / "run")
    run(tmp_path / "run", resume=True)
    assert final_state(tmp_path / "run") == final_state(whole)


def test_a_signal_while_the_test_images_are_read(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signal_in_evaluation(signal.SIGTERM, 4, monkeypatch)
    with pytest.raises(Interrupted, match="stopped after 33 of 33 steps") as caught:
        run(tmp_path / "run")
    assert caught.value.exit_code == 143
    assert open_run(tmp_path / "run").result is None
    run(tmp_path / "run", resume=True)
    assert final_state(tmp_path / "run") == final_state(whole)


def test_a_damaged_newest_checkpoint_costs_only_the_steps_since(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0
    save = keeper.snapshot

    def saving(*arguments: Any) -> Path:
        nonlocal count
        count += 1
        if count == 20:
            signal.raise_signal(signal.SIGINT)
        return save(*arguments)

    monkeypatch.setattr(keeper, "snapshot", saving)
    with pytest.raises(Interrupted):
        run(tmp_path / "run", checkpoint_every=0.0)
    newest = max((tmp_path / "run" / "checkpoints").glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:-1] + b"x")
    run(tmp_path / "run", resume=True)
    assert final_state(tmp_path / "run") == final_state(whole)


def test_resuming_a_finished_run_changes_nothing(whole: Path) -> None:
    before = final_state(whole)
    result = run(whole, resume=True)
    assert final_state(whole) == before
    assert result.epochs == 3


@pytest.mark.parametrize("step", [1, 15, 33])
def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    make = learner.make_objective

    def making(*arguments: Any) -> Any:
        objective = make(*arguments)
        criterion, count = objective.loss, 0

        def loss(outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            nonlocal count
            count += outputs.requires_grad
            return criterion(outputs, labels) * (float("nan") if count == step and outputs.requires_grad else 1.0)

        monkeypatch.setattr(objective, "loss", loss)
        return objective

    monkeypatch.setattr(learner, "make_objective", making)
    with pytest.raises(CnnspecError, match=rf"the loss is nan at step {step} \(epoch {(step - 1) // 11 + 1}\)"):
        run(tmp_path / "run")
    best = tmp_path / "run" / "best.safetensors"
    if step > 11:
        assert all(bool(tensor.isfinite().all()) for tensor in read_weights(best).values())
        state = load_checkpoint(tmp_path / "run" / "checkpoints", print)
        assert state is not None
        assert state["counters"]["epoch"] == (step - 1) // 11
    else:
        assert not best.exists()


def test_a_batch_in_parts_gives_the_gradient_of_the_batch(tmp_path: Path) -> None:
    text = TEXT.replace("  bn: BatchNorm2d\n", "").replace("  drop: Dropout(0.1)\n", "")
    run(tmp_path / "one", text=text, ema=None, epochs=1)
    run(tmp_path / "parts", text=text, ema=None, epochs=1, accumulate=4)
    one, parts = (read_weights(tmp_path / name / "last.safetensors") for name in ("one", "parts"))
    for name, tensor in one.items():
        assert torch.allclose(tensor, parts[name], atol=1e-5), name


@pytest.mark.parametrize(
    ("options", "single"),
    [
        ({"batch_size": 1}, True),
        ({"batch_size": 100, "accumulate": 100}, True),
        ({"batch_size": 100, "accumulate": 50}, True),  # 1,295 images: the last batch has 95, the last part of it 1
        ({"batch_size": 100, "accumulate": 10}, False),
        ({"batch_size": 647}, False),  # a last batch of one image is left out
    ],
)
def test_batch_norm_of_a_single_image(tmp_path: Path, options: dict[str, Any], single: bool) -> None:
    text = TEXT.replace("  relu:", "  pool1: AdaptiveAvgPool2d(1)\n  bn1: BatchNorm2d\n  relu:").replace(
        "  pool: MaxPool2d(2)\n", ""
    )
    if not single:
        assert run(tmp_path / "run", text=text, epochs=1, **options).epochs == 1
        return
    with pytest.raises(UsageError, match="single image, and batch norm wants two"):
        run(tmp_path / "run", text=text, epochs=1, **options)
    assert not (tmp_path / "run").exists()


def test_an_instance_norm_of_one_value_cannot_be_trained(tmp_path: Path) -> None:
    text = (
        "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  a: Conv2d(4, 8)\n  norm: InstanceNorm2d(track_running_stats=True)\n"
    )
    with pytest.raises(UsageError, match="`norm`: InstanceNorm2d cannot be trained on one value per channel"):
        run(tmp_path / "run", text=f"{text}  flat: Flatten\n  fc: Linear(10)\n", epochs=1)
    assert not (tmp_path / "run").exists()


def test_a_run_folder_is_not_overwritten_unasked(tmp_path: Path) -> None:
    spec = cnnspec.loads(TEXT)
    options: dict[str, Any] = {"epochs": 1, "batch_size": 256, "threads": 1, "runs": tmp_path}
    cnnspec.api.train(spec, name="a", **options)
    with pytest.raises(UsageError, match="a exists") as caught:
        cnnspec.api.train(spec, name="a", **options)
    assert caught.value.hint is not None
    assert "--overwrite" in caught.value.hint
    cnnspec.api.train(spec, name="a", existing="overwrite", **options)
    cnnspec.api.train(spec, **options)
    cnnspec.api.train(spec, **options)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "small", "small-2"]
    with pytest.raises(UsageError, match="no name for a run"):
        cnnspec.api.train(spec, name="../b", **options)


def test_nothing_is_made_where_the_data_do_not_fit(tmp_path: Path) -> None:
    for options, text, message in (
        ({"data": "nowhere"}, TEXT, "no data set and no folder `nowhere`"),
        ({}, TEXT.replace("Linear(10)", "Linear(7)"), "digits has 10 classes, but small gives 7"),
        ({}, TEXT.replace("[1, 8, 8]", "[3, 8, 8]").replace("[0.5]", "[0.5, 0.5, 0.5]").replace(
            "[0.25]", "[1, 1, 1]"), "digits has images of 1 channel, but small reads 3x8x8"),
        ({"device": "tpu"}, TEXT, "`tpu` is no device"),
        ({"freeze": ("body",)}, TEXT, "--freeze body"),
        ({"freeze": ("conv", "bn", "fc"), "threads": None}, TEXT, "--freeze conv,bn,fc leaves nothing to train"),
        ({"weights": "absent.safetensors"}, TEXT, "no file of weights"),
        ({"reset": ("fc",)}, TEXT, "--reset wants --weights"),
    ):  # fmt: skip
        with pytest.raises(UsageError, match=message):
            run(tmp_path / "run", text=text, **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_one_writer_at_a_time(whole: Path) -> None:
    folder = RunFolder(whole)
    try:
        with pytest.raises(UsageError, match="another process is writing"):
            run(whole, resume=True)
    finally:
        folder.close()


def test_a_process_that_outlives_the_writer_is_in_nobodys_way(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    ready, started = os.pipe()
    folder = RunFolder(tmp_path / "run")
    child = os.fork()
    if not child:  # as one that decodes images, whose parent was killed
        os.close(writing)
        os.write(started, b".")
        os.read(reading, 1)
        os._exit(0)
    os.read(ready, 1)
    with pytest.raises(UsageError, match="another process is writing"):
        RunFolder(tmp_path / "run")
    folder.close()
    RunFolder(tmp_path / "run").close()
    os.close(writing)
    os.waitpid(child, 0)
    for end in (reading, ready, started):
        os.close(end)


def test_auxiliary_heads_train_and_are_not_scored(tmp_path: Path) -> None:
    run(tmp_path / "run", text=AUX, epochs=2)
    state = read_weights(tmp_path / "run" / "last.safetensors")
    torch.manual_seed(0)
    fresh = build_module(cnnspec.loads(AUX).graph).state_dict()
    assert not torch.equal(state["head.weight"], fresh["head.weight"])


def test_patience_ends_a_run_early(tmp_path: Path) -> None:
    options: dict[str, Any] = {"lr": 1e-9, "ema": None, "patience": 2, "epochs": 50, "rotate": 0.0, "shift": 0}
    result = run(tmp_path / "run", batch_size=512, **options)
    assert result.epochs < 50
    said: list[str] = []
    tell = Silent()
    tell.message = said.append  # type: ignore[assignment, method-assign]
    again = loop.train(job(tmp_path / "run", resume=True, batch_size=512, **options), tell)
    assert again.epochs == result.epochs
    assert said[-1] == f"all {3 * result.epochs} steps are done"


def test_fine_tuning(tmp_path: Path) -> None:
    spec = cnnspec.loads(TEXT.replace("Linear(10)", "Linear(7)"))
    save_weights(build_module(spec.graph), tmp_path / "w.safetensors")
    given = read_weights(tmp_path / "w.safetensors")
    options: dict[str, Any] = {"weights": str(tmp_path / "w.safetensors"), "freeze": ("conv", "bn")}
    run(tmp_path / "run", epochs=1, ema=None, **options)
    state = read_weights(tmp_path / "run" / "last.safetensors")
    still = [name for name in given if name.startswith(("conv", "bn"))]
    assert all(torch.equal(state[name], given[name]) for name in still)  # batch norm's statistics too
    assert state["fc.weight"].shape == (10, 36)
    told = json.loads((tmp_path / "run" / "start.json").read_text())
    assert [each["name"] for each in told["reset"]] == ["fc.weight", "fc.bias"]
    assert (sorted(told["taken"]), told["left_over"]) == (sorted(still), [])
    tuned = open_run(tmp_path / "run")
    assert tuned.params - tuned.trainable_params == sum(
        given[name].numel() for name in still if not name.startswith("bn.running") and "num_batches" not in name
    )


def test_averaged_weights_are_those_that_are_scored(whole: Path) -> None:
    state = load_checkpoint(whole / "checkpoints", print)
    assert state is not None
    assert plain(state["averaged"]) == plain(read_weights(whole / "last.safetensors"))
    assert plain(state["averaged"]) != plain(state["model"])


@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "adamw", "lr": 0.01, "clip": 1.0, "decay_norms": False, "schedule": "cosine"},
        {"optimizer": "adam", "lr": 0.01, "loss": "squared-error", "init": "xavier", "epochs": 8},
        {"precision": "bf16", "flip": True, "erase": 0.5, "class_weights": "balanced"},
        {"channels_last": True, "label_smoothing": 0.1, "nesterov": True, "schedule": "step"},
    ],
)
def test_options_train(tmp_path: Path, options: dict[str, Any]) -> None:
    result = run(tmp_path / "run", **{"epochs": 4, "ema": None, **options})
    assert result.val_accuracy > 0.3


def test_the_job_is_what_the_options_say(tmp_path: Path) -> None:
    assert job(tmp_path, epochs=9).config.epochs == 9
