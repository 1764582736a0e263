"""Which device a run takes, and what it sets and looks at there. No GPU is needed: torch's answers are given here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_runs import job, run

import cnnspec
from cnnspec.data.batches import to_device
from cnnspec.data.sets import Images
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.training import keeper, loop, machine, plan
from cnnspec.training.device import image_memory, pick_device
from cnnspec.training.distributed import Ranks
from cnnspec.training.process import no_deterministic_kernel, process_restored
from cnnspec.training.progress import Silent
from cnnspec.training.shared import Shared

CUDA = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def install(monkeypatch: pytest.MonkeyPatch, *cards: tuple[int, int], built: str = "sm_75 sm_80 sm_90") -> None:
    """Say that the machine has these cards, by their capability."""
    answers: dict[str, Any] = {
        "is_available": lambda: bool(cards),
        "device_count": lambda: len(cards),
        "get_device_capability": lambda index: cards[index],
        "get_device_name": lambda index: f"card {index}",
        "get_arch_list": built.split,
    }
    for name, answer in answers.items():
        monkeypatch.setattr(torch.cuda, name, answer)
    monkeypatch.setattr(torch.version, "cuda", "13.0")


@pytest.mark.parametrize(
    ("card", "built", "runs"),
    [
        ((8, 6), "sm_80", True),  # machine code runs on later cards of its major version
        ((8, 0), "sm_86", False),
        ((9, 0), "sm_80", False),
        ((9, 0), "sm_80 compute_80", True),  # what the driver compiles runs on every later card
        ((7, 0), "compute_75", False),
        ((9, 0), "sm_90a", True),
        ((12, 0), "sm_90 sm_120", True),
        ((6, 1), "sm_75 sm_80 sm_90", False),
        ((6, 1), "", True),  # this torch does not say what it is built for
    ],
)
def test_a_card_without_kernels_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, card: tuple[int, int], built: str, runs: bool
) -> None:
    install(monkeypatch, card, built=built)
    said: list[str] = []
    assert pick_device("auto", said.append).type == ("cuda" if runs else "cpu")
    if runs:
        assert pick_device("cuda") == pick_device("cuda:0") == CUDA
        assert not said
    else:
        own = "sm_{}{}".format(*card)
        assert said == [
            f"cuda:0, card 0, is {own}, and this torch is built for {', '.join(built.split())}: it is passed over"
        ]
        with pytest.raises(UsageError, match=f"is {own}, and this torch is built for"):
            pick_device("cuda")


def test_the_first_card_with_kernels_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, (6, 1), (9, 0))
    assert pick_device("auto") == torch.device("cuda", 1)


def test_each_process_has_a_card_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, (9, 0), (9, 0))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda", 1)
    with pytest.raises(UsageError, match="`cuda:0` would be the device of all 2 processes"):
        pick_device("cuda:0")
    for number, complaint in (("2", "process 2 of this machine has no CUDA device"), ("x", "LOCAL_RANK='x'")):
        monkeypatch.setenv("LOCAL_RANK", number)
        for name in ("auto", "cuda"):
            with pytest.raises(UsageError, match=complaint):
                pick_device(name)


def test_of_several_processes_none_goes_to_the_cpu_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, (9, 0), (6, 1))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with pytest.raises(UsageError, match=r"cuda:1, card 1, is sm_61"):
        pick_device("auto")


def test_a_run_makes_its_card_the_current_one_and_puts_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    current = [0]

    @contextmanager
    def used(chosen: torch.device) -> Iterator[None]:
        before, current[0] = current[0], chosen.index
        yield
        current[0] = before

    monkeypatch.setattr(torch.cuda, "device", used)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda chosen: torch.zeros(1))
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, chosen: None)
    with process_restored(torch.device("cuda", 1)):
        assert current == [1]
    assert current == [0]


def test_tf32_is_for_convolutions_and_dense_layers_alike_and_is_put_back(tmp_path: Path) -> None:
    class Watching(Silent):
        seen: set[bool]

        def epoch(self, metrics: Any) -> None:
            self.seen = {torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32}

    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    for tf32 in (True, False):
        progress = Watching()
        loop.train(job(tmp_path / str(tf32), epochs=1, tf32=tf32), progress)
        assert progress.seen == {tf32}
        assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before
    assert '"tf32": false' in (tmp_path / "True" / "environment.json").read_text()  # on the CPU there is none


def test_an_epoch_is_timed_when_the_device_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps take no time here: the device takes a second when it is waited for, once for each epoch."""
    clock = [0.0]
    monkeypatch.setattr(keeper, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(keeper, "synchronize", lambda chosen: clock.__setitem__(0, clock[0] + 1))
    run(tmp_path / "run", epochs=2)
    assert [epoch.images_per_second for epoch in cnnspec.api.open_run(tmp_path / "run").metrics] == [1295.0] * 2


def test_images_are_held_by_the_device_only_where_they_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images(torch.zeros(4, 1, 2, 2, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64))
    meta = torch.device("meta")
    assert to_device(images, meta, 16).images.device == meta  # type: ignore[union-attr]
    assert to_device(images, meta, 15) is images
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_AVPHYS_PAGES": 1000, "SC_PAGE_SIZE": 8}[name])
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda chosen: (3000, 10_000))
    assert image_memory(torch.device("cpu")) == 4000
    assert image_memory(CUDA) == 1500
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert image_memory(CUDA) == 1000


def test_images_that_do_not_fit_are_said_to_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run takes them from where they are."""
    monkeypatch.setattr(plan, "image_memory", lambda chosen: 1000)
    asked = job(tmp_path / "run", channels_last=False)
    said: list[str] = []
    listener = Silent()
    listener.message = said.append  # type: ignore[method-assign]
    data = loop.open_images(asked, torch.device("cpu"), Ranks(), Silent(), Shared())
    with process_restored(torch.device("cpu")):
        made = plan.make_plan(
            asked, data, torch.nn.Linear(1, 1), torch.device("meta"),
            ranks=Ranks(), resuming=False, progress=listener, shared=Shared(),
        )  # fmt: skip
    assert made.train is data.train
    assert said == ["0 MB of images stay in the host's memory: meta has no room for them"]


def test_scoring_takes_no_more_images_than_a_part_of_a_batch(tmp_path: Path) -> None:
    sizes = set[int]()

    def hook(module: torch.nn.Module, given: tuple[torch.Tensor], result: Any) -> None:
        if not module.training:
            sizes.add(len(given[0]))

    with torch.nn.modules.module.register_module_forward_hook(hook):
        run(tmp_path / "run", epochs=1, batch_size=100, accumulate=4)
    assert max(sizes) == 25


def test_out_of_memory_beside_a_recorded_step_goes_on_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the last checkpoint, so that nothing of what was recorded is lost, and only then it is an error."""
    steps = [0]

    def recorder(*_: Any) -> Any:
        class Step:
            def __init__(self, step: Any, shape: tuple[int, int]) -> None:
                self.step, self.learns = step, step.__name__ == "_learn_rows"

            def __call__(self, *given: Any) -> torch.Tensor:
                steps[0] += self.learns  # the other one is for scoring
                if steps[0] == 17:
                    raise RuntimeError("CUDA error: out of memory")
                return self.step(*given)  # type: ignore[no-any-return]

        return Step

    run(tmp_path / "whole")
    monkeypatch.setattr(loop, "cuda_recorder", recorder)
    said: list[str] = []
    listener = Silent()
    listener.message = said.append  # type: ignore[method-assign]
    loop.train(job(tmp_path / "run", checkpoint_every=0.0), listener)
    assert steps[0] == 17
    assert "memory ran out: going on without recorded steps, which keep memory of their own" in said
    assert "continuing after 16 of 33 steps" in said
    for name in ("best.safetensors", "last.safetensors"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_layout_is_measured_on_cuda_too(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = list[torch.device]()
    monkeypatch.setattr(machine, "synchronize", waited.append)
    fastest = {True: 1.0, False: 2.0}
    clock = [0.0]
    monkeypatch.setattr(machine, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    class Watched(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Conv2d(2, 2, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            clock[0] += fastest[x.is_contiguous(memory_format=torch.channels_last)]
            return self.layer(x)  # type: ignore[no-any-return]

    cpu = torch.device("cpu")
    model, random = Watched(), torch.get_rng_state()
    assert machine.pick_layout(model, (2, 8, 8), 4, cpu, "bf16") is True
    assert len(waited) >= 6
    fastest[True] = 1.99  # no more than chance
    assert machine.pick_layout(model, (2, 8, 8), 4, cpu, "fp32") is False
    assert machine.pick_layout(model, (8,), 4, cpu, "fp32") is False
    assert torch.equal(torch.get_rng_state(), random)


@pytest.mark.parametrize(
    ("layer", "kernel"),
    [
        ("AdaptiveAvgPool2d(2)", "adaptive_avg_pool2d_backward_cuda"),
        ("MaxPool2d(2)", "max_pool2d_with_indices_backward_cuda"),
        ("Upsample(scale_factor=2, mode=bilinear)", "upsample_bilinear2d_backward_out_cuda"),
    ],
)
def test_a_layer_without_a_deterministic_kernel_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str, kernel: str
) -> None:
    layers = f"layers: {{a: 'Conv2d(2, 3)', pool: '{layer}', f: Flatten, b: Linear(10)}}"
    text = f"cnnspec: 1\nname: n\ninput: [1, 8, 8]\n{layers}\n"

    def refused(*arguments: Any) -> None:
        raise RuntimeError(
            f"{kernel} does not have a deterministic implementation, but you set"
            " 'torch.use_deterministic_algorithms(True)'. You can turn off determinism just for this operation"
        )

    monkeypatch.setattr(loop, "_train", refused)
    with pytest.raises(CnnspecError, match=rf"^`pool` \({layer[: layer.index('(')]}\): .* for {kernel}$") as caught:
        run(tmp_path / "run", text=text, deterministic=True)
    assert caught.value.hint is not None
    assert "--no-deterministic" in caught.value.hint


def test_what_torch_says_of_such_a_kernel_is_recognised() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError) as caught:
            torch.zeros(3).put_(torch.tensor([0]), torch.ones(1), accumulate=False)
    finally:
        torch.use_deterministic_algorithms(False)
    assert loop.is_not_deterministic(caught.value)
    assert no_deterministic_kernel(caught.value, cnnspec.load("lenet5").graph).message.endswith("put_")


def test_more_cores_decode_more_images(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes, workers in ((1, 1, 2), (6, 1, 5), (64, 1, 8), (16, 4, 3)):
        monkeypatch.setattr(machine, "usable_cores", lambda cores=cores: cores)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert machine.pick_workers(None) == workers
        assert machine.pick_workers(0) == 0
