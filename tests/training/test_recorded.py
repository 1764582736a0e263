"""Recorded steps are proved without a GPU: operations are recorded once and replayed on the same tensors.

What Python would do again, a replay does not, as on CUDA; so these tests see a rate or augmentation that was recorded
as a number, a tensor that was replaced, and a step that wants a number from the device.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from emulated_graph import WARM_UP, EmulatedSteps, Launches, NotRecordable
from run_states import plain
from small_runs import TEXT, job
from test_learner import end_of
from torch import Tensor
from torch._subclasses import FakeTensorMode

import cnnspec
from cnnspec.data.loaders import LoaderPool
from cnnspec.data.prepare import COLUMNS, variations
from cnnspec.data.sets import Images
from cnnspec.training import keeper
from cnnspec.training.config import TrainConfig
from cnnspec.training.distributed import Ranks
from cnnspec.training.feed import Feed
from cnnspec.training.job import Job
from cnnspec.training.learner import Learner, Recorder, Steps
from cnnspec.training.loop import run
from cnnspec.training.plan import make_plan
from cnnspec.training.process import process_restored, seed_generators
from cnnspec.training.progress import Silent
from cnnspec.training.shared import Shared
from cnnspec.training.signals import Interrupted
from cnnspec.training.start import build_network, open_images

CPU = torch.device("cpu")
SHARED = Shared()  # images are opened once
BATCH = 16


def learner_of(asked: Job, record: Recorder | None = None, **forced: Any) -> Learner:
    """A learner that is ready to train; `forced` are options that a run on the CPU would refuse."""
    config = asked.config
    data = open_images(asked, CPU, Ranks(), Silent(), SHARED)
    seed_generators(config.seed, CPU)
    model = build_network(asked.network.graph, config, CPU, weights=None)
    plan = make_plan(
        asked, data, model, CPU, ranks=Ranks(), resuming=asked.existing == "resume", progress=Silent(), shared=SHARED
    )
    plan = replace(plan, config=plan.config.model_copy(update=forced))
    return Learner(plan, model, LoaderPool(), record)


def after(learner: Learner, steps: int) -> Any:
    """Losses of the first steps, and what they have made of everything that learns."""
    learner.begin_epoch()
    feed, losses = Feed(learner.plan, 0, 0, learner.loaders), list[Tensor]()
    for batch in feed if learner.recorded is None else feed.rows():
        losses.extend(learner.step(batch, len(losses)).clone())
        if len(losses) >= steps:
            break
    state: Any = learner.state()
    state["optimizer"].pop("param_groups")  # with the rate as a number or as a tensor
    return plain(losses), plain(state)


OPTIMIZERS: list[dict[str, Any]] = [{}, {"nesterov": True}, {"momentum": 0.0}, {"optimizer": "adam", "lr": 0.01}]
SCHEDULES = ("one-cycle", "cosine", "step", "constant")
REST: dict[str, list[Any]] = {
    "clip": [None, 0.5],
    "ema": [None, 0.9],
    "precision": ["fp32", "bf16", "fp16"],
    "augmentation": [{"rotate": 0.0, "shift": 0}, {"flip": True, "erase": 0.5}],
    "dropout": [True, False],
}


def combinations() -> list[Any]:
    """Every optimizer with every one of the rest, the schedules in turn; `make test-long` has them all."""
    found = []
    for index, (optimizer, *rest) in enumerate(itertools.product(OPTIMIZERS, *REST.values())):
        for number, schedule in enumerate(SCHEDULES):
            options = {**optimizer, "schedule": schedule, **dict(zip(REST, rest, strict=True))}
            often = (index // 3 + index) % len(SCHEDULES) == number and index % 5 == 0
            found.append(pytest.param(options, marks=[] if often else pytest.mark.long))
    return found


@pytest.mark.parametrize("options", combinations())
def test_recorded_steps_equal_plain_ones(tmp_path: Path, options: dict[str, Any]) -> None:
    given = dict(options)
    text = TEXT if given.pop("dropout") else TEXT.replace("  drop: Dropout(0.1)\n", "")
    precision, augmentation = given.pop("precision"), given.pop("augmentation")
    asked = job(tmp_path / "a", text=text, batch_size=BATCH, epochs=1, **given, **augmentation)
    with process_restored(CPU):
        wanted = after(learner_of(asked, precision=precision), 7)
        learner = learner_of(asked, EmulatedSteps, precision=precision, steps_per_graph=1)
        assert after(learner, 7) == wanted
    assert isinstance(learner.recorded, EmulatedSteps)
    assert learner.recorded.replayed == 4


@pytest.mark.parametrize("together", [2, 3, 10])
@pytest.mark.parametrize("options", [{}, {"optimizer": "adamw", "lr": 0.01, "clip": 1.0, "schedule": "step"}])
def test_several_steps_in_one_recording_equal_single_ones(
    tmp_path: Path, options: dict[str, Any], together: int
) -> None:
    asked = job(tmp_path / "a", batch_size=BATCH, epochs=1, ema=None, steps_per_graph=together, **options)
    with process_restored(CPU):
        learner = learner_of(asked, EmulatedSteps)
        assert after(learner, 81) == after(learner_of(asked), 81)  # 80 whole batches and a part
    assert isinstance(learner.recorded, EmulatedSteps)
    assert learner.recorded.replayed == 80 // together - 3


@pytest.mark.parametrize(
    ("options", "images", "together"),
    [
        ({"batch_size": 64}, 54_000, 10),  # 843 whole batches: 84 replays and 3 steps
        ({"batch_size": 64}, 64 * 819, 9),  # 91 replays and none, against 81 and 9 steps
        ({"batch_size": 64, "ema": 0.9}, 54_000, 1),
        ({"batch_size": 64}, 200, 1),
        ({"batch_size": 64}, 30, 1),
        ({"batch_size": 64, "steps_per_graph": 7}, 54_000, 7),
        ({"batch_size": 64, "steps_per_graph": 7}, 200, 3),
    ],
)
def test_how_many_steps_are_recorded_as_one(
    tmp_path: Path, options: dict[str, Any], images: int, together: int
) -> None:
    asked = job(tmp_path / "a", **{"ema": None, **options})
    with process_restored(CPU):
        plan = learner_of(asked).plan
    data = replace(plan.data, train_rows=torch.zeros(images, dtype=torch.int64))
    plan = replace(plan, data=data)
    assert plan.steps_per_graph == together


INTERRUPTED: dict[str, Any] = {"batch_size": 100, "epochs": 2, "ema": None}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What plain steps come to that nothing interrupts."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with process_restored(CPU):
        run(learner_of(job(folder, **INTERRUPTED)), Silent())
    return end_of(folder)


def test_recorded_scoring_is_the_plain_one(tmp_path: Path) -> None:
    asked = job(tmp_path / "a", batch_size=BATCH, epochs=1)
    with process_restored(CPU):
        one, two = learner_of(asked), learner_of(asked, EmulatedSteps)
        for _ in range(2):
            wanted, found = one.validate(lambda: False), two.validate(lambda: False)
            assert wanted is not None
            assert found is not None
            assert (found.loss, found.noted.tolist()) == (wanted.loss, wanted.noted.tolist())
        assert two.validate(lambda: True) is None
    assert isinstance(two.recorded_scoring, EmulatedSteps)
    assert two.recorded_scoring.replayed > 10


def test_scoring_waits_for_the_device_once(tmp_path: Path) -> None:
    with process_restored(CPU):
        learner = learner_of(job(tmp_path / "a", batch_size=BATCH))
        with Launches() as launches:
            learner.validate(lambda: False)
    assert launches.names.count("argmax") > 5
    assert len(launches.waits) == 3  # the loss; accuracy and the first five are counted on the host


@pytest.mark.parametrize("together", [1, 4])
@pytest.mark.parametrize("stop", [1, 3, 8, 14, 17, 23])
def test_an_interrupted_recorded_run_resumes_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any, stop: int, together: int
) -> None:
    """Stopped after a number of calls, in each of its two epochs, and continued with a recording of its own."""
    options = {**INTERRUPTED, "steps_per_graph": together}
    calls, after_step = [0], keeper.Keeper.after_step

    def stopping(self: keeper.Keeper, losses: Tensor, size: int) -> None:
        calls[0] += 1
        if calls[0] == -(-stop // together):
            self.signals.received = 2
        after_step(self, losses, size)

    monkeypatch.setattr(keeper.Keeper, "after_step", stopping)
    with process_restored(CPU), pytest.raises(Interrupted):
        run(learner_of(job(tmp_path / "run", **options), EmulatedSteps), Silent())
    with process_restored(CPU):
        run(learner_of(job(tmp_path / "run", resume=True, **options), EmulatedSteps), Silent())
    assert end_of(tmp_path / "run") == whole


def test_the_proof_sees_a_rate_that_is_recorded_as_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = job(tmp_path / "a", batch_size=BATCH, epochs=1)
    with process_restored(CPU):
        wanted = after(learner_of(asked), 7)
        set_rate = Learner._set_rate
        rates = iter([learner_of(asked).plan.learning_rate(step) for step in range(7)])
        monkeypatch.setattr(Learner, "_set_rate", lambda self, rate: set_rate(self, next(rates)))
        assert after(learner_of(asked, EmulatedSteps), 7) != wanted


def test_the_proof_sees_augmentation_that_went_stale(tmp_path: Path) -> None:
    asked = job(tmp_path / "a", batch_size=BATCH, epochs=1)

    def stale(steps: Steps, shape: tuple[int, int]) -> EmulatedSteps:
        kept: list[Any] = []

        def forgetful(rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
            kept.append(None if numbers is None else numbers.clone())
            return steps(rows, numbers if len(kept) <= WARM_UP else kept[0], rates)

        return EmulatedSteps(forgetful, shape)

    with process_restored(CPU):
        assert after(learner_of(asked, stale), 7) != after(learner_of(asked), 7)


def test_the_proof_sees_a_number_that_a_step_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = job(tmp_path / "a", batch_size=BATCH, epochs=1)
    loss_of = Learner._loss
    monkeypatch.setattr(Learner, "_loss", lambda self, x, y: loss_of(self, x, y) + 0 * x.sum().item())
    with process_restored(CPU), pytest.raises(NotRecordable, match="_local_scalar_dense"):
        after(learner_of(asked, EmulatedSteps), 7)


@pytest.mark.parametrize("options", [{}, {"loss": "squared-error"}, {"clip": 1.0, "optimizer": "adam", "erase": 0.3}])
def test_nothing_in_an_epoch_waits_for_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """But the one look a second, and what comes when the epoch is over."""
    monkeypatch.setattr(keeper, "LOOK_EVERY", 1e9)
    counted = list[Launches]()

    class Watched(Feed):
        def __iter__(self) -> Any:
            with Launches() as launches:
                counted.append(launches)
                yield from super().__iter__()

    monkeypatch.setattr("cnnspec.training.loop.Feed", Watched)
    with process_restored(CPU):
        run(learner_of(job(tmp_path / "a", epochs=2, checkpoint_every=1e9, **options)), Silent())
    assert len(counted) == 2
    for launches in counted:
        assert len(launches.names) > 100
        assert launches.waits == []


def launches_of_a_step(folder: Path, **options: Any) -> Launches:
    """What one step of LeNet-5 with a batch of 64 launches; `benchmarks/training/gpu.py` prints it."""
    config = TrainConfig(data="digits", batch_size=64, device="cpu", threads=1, channels_last=False, **options)
    with process_restored(CPU):
        learner = learner_of(Job(cnnspec.load("lenet5"), config, folder, existing="refuse"))
        learner.begin_epoch()
        batches = iter(Feed(learner.plan, 0, 0, learner.loaders))
        learner.step(next(batches), 0)
        with Launches() as launches:
            learner.step(next(batches), 1)
    return launches


@pytest.mark.parametrize(("options", "most"), [({"rotate": 0.0, "shift": 0}, 42), ({}, 44)])
def test_a_step_launches_few_kernels(tmp_path: Path, options: dict[str, Any], most: int) -> None:
    """Three of them count what is recognised; in a small network a launch takes as long as its kernel."""
    launches = launches_of_a_step(tmp_path / "a", **options)
    assert len(launches.names) <= most, sorted(launches.names)


@pytest.mark.parametrize("options", [{}, {"loss": "squared-error"}, {"label_smoothing": 0.1, "erase": 0.3}])
def test_forward_loss_and_scoring_want_no_number_from_cuda(tmp_path: Path, options: dict[str, Any]) -> None:
    """On fake tensors of cuda:0, which refuse whatever depends on what a tensor holds."""
    cuda = torch.device("cuda", 0)
    with process_restored(CPU):
        learner = learner_of(job(tmp_path / "a", **options))
    plan = learner.plan
    numbers = variations(plan.augment, torch.rand(BATCH, COLUMNS), 8, 8)
    assert isinstance(plan.train, Images)
    real = plan.train.images[:BATCH], plan.train.targets[:BATCH]
    with FakeTensorMode(allow_non_fake_inputs=False) as mode, torch.no_grad():
        model, prepare = learner.model, learner.prepare
        for module in model.modules():
            for tensors in (module._parameters, module._buffers):
                for name, tensor in tensors.items():
                    if tensor is not None:
                        tensors[name] = mode.from_tensor(tensor).to(cuda)  # type: ignore[assignment]
        prepare.scales = {
            kind: tuple(mode.from_tensor(part).to(cuda) for part in parts) for kind, parts in prepare.scales.items()
        }
        for name in ("places", "down", "across"):
            setattr(prepare, name, mode.from_tensor(getattr(prepare, name)).to(cuda))
        images, labels = (mode.from_tensor(part).to(cuda) for part in real)
        varied = mode.from_tensor(numbers).to(cuda)
        learner.right = mode.from_tensor(learner.right).to(cuda)
        with Launches() as launches:
            model.train()
            loss = learner._loss(model(prepare(images, varied)), labels)
            model.eval()
            guessed = model(prepare(images)).argmax(1)
        assert loss.device == guessed.device == cuda
    assert launches.waits == []
