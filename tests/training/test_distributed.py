"""Two processes under torchrun train what one process trains, and survive the death of one."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from small_runs import TEXT, run

import cnnspec
from cnnspec.errors import CnnspecError, Diagnostic, MissingExtraError, SpecError, UsageError
from cnnspec.torch_backend import read_weights
from cnnspec.training import loop
from cnnspec.training.distributed import Ranks, agree, join_ranks, leave_ranks
from cnnspec.training.run_folder import open_run
from cnnspec.training.signals import Interrupted

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finding the workers needs /proc")
pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")

SPEC = TEXT.replace("  bn: BatchNorm2d\n", "").replace("  drop: Dropout(0.1)\n", "")
OPTIONS = [
    "--data", "digits", "--batch-size", "100", "--device", "cpu", "--threads", "1", "--lr", "0.1", "--mixup", "0.2",
]  # fmt: skip
LONGER = ["--epochs", "30", "--checkpoint-every", "0.2"]
TOLERANCE = 2e-5  # float32 sums in another order


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def command(processes: int, *arguments: str) -> list[str]:
    start = [sys.executable, "-m"]
    if processes > 1:
        start += ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "--max-restarts=1", "-m"]
    return [*start, "cnnspec", "train", "net.yaml", *OPTIONS, *arguments]


def train(folder: Path, processes: int, *arguments: str) -> str:
    done = subprocess.run(
        command(processes, *arguments), cwd=folder, capture_output=True, text=True, check=False, env=environment()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def weights(folder: Path, name: str) -> dict[str, torch.Tensor]:
    return read_weights(folder / "runs" / name / "last.safetensors")


def figures(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = (folder / "runs" / name / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_two_processes_equal_one(tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(SPEC)
    train(tmp_path, 1, "--name", "one", "--epochs", "2")
    said = train(tmp_path, 2, "--name", "two", "--epochs", "2")
    assert said.count("best epoch") == 1
    one, two = weights(tmp_path, "one"), weights(tmp_path, "two")
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], atol=TOLERANCE), name
    for a, b in zip(figures(tmp_path, "one"), figures(tmp_path, "two"), strict=True):
        assert a["train_loss"] == pytest.approx(b["train_loss"], abs=TOLERANCE)
        assert a["val_loss"] == pytest.approx(b["val_loss"], abs=TOLERANCE)
        assert a["val_accuracy"] == b["val_accuracy"]
    assert open_run(tmp_path / "runs" / "two").result is not None


def test_a_restart_continues_its_own_run_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torchrun also restarts a process that refused to overwrite a run."""
    options: dict[str, Any] = {"batch_size": 512, "device": "cpu", "threads": 1, "runs": tmp_path, "name": "a"}
    spec = cnnspec.loads(TEXT)
    cnnspec.api.train(spec, epochs=1, **options)
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(UsageError, match="a exists"):
        cnnspec.api.train(spec, epochs=1, **options)
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert cnnspec.api.train(spec, epochs=1, **options).epochs == 1
    for others in ({"epochs": 2}, {"epochs": 1, "seed": 3}):
        with pytest.raises(UsageError, match="a exists"):
            cnnspec.api.train(spec, **options, **others)
    with pytest.raises(UsageError, match="a exists"):
        cnnspec.api.train(cnnspec.loads(TEXT.replace("Conv2d(4", "Conv2d(5")), epochs=1, **options)


def test_processes_that_do_not_find_each_other_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(CnnspecError, match=r"do not find each other: .* RANK expected"):
        join_ranks(torch.device("cpu"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.distributed.DistNetworkError("failed to recv, got 0 bytes"), "another process of this run has ended"),
        (torch.distributed.DistBackendError("ncclRemoteError: a call failed"), "another process of this run has ended"),
        (RuntimeError("[gloo/transport/tcp/pair.cc:525] Connection closed by peer"), "another process of this run has"),
        (
            torch.distributed.DistBackendError("NCCL error: unhandled system error\nLast error: no space in /dev/shm"),
            "the processes of this run cannot work together: NCCL error: unhandled system error",
        ),
    ],
)
def test_only_a_lost_peer_is_said_to_be_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, said: str
) -> None:
    def broken(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(loop, "_train", broken)
    monkeypatch.setattr(loop, "join_ranks", lambda device: Ranks(1, 2))
    with pytest.raises(CnnspecError, match=re.escape(said)):
        run(tmp_path / "run")


@pytest.mark.parametrize("value", ["", "x", "-1", "2.0"])
def test_what_is_no_number_of_processes(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("WORLD_SIZE", value)
    with pytest.raises(UsageError, match="WORLD_SIZE="):
        join_ranks(torch.device("cpu"))


def test_on_cuda_the_processes_agree_over_gloo(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that one of them may decode or test for as long as it takes, and no device is waited for."""
    joined: dict[str, Any] = {}
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda backend, **how: joined.update(how, on=backend))
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 0)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    store = torch.distributed.HashStore()
    monkeypatch.setattr(sys.modules["torch.distributed.rendezvous"], "rendezvous", lambda url: iter([(store, 0, 2)]))
    monkeypatch.setenv("WORLD_SIZE", "2")
    device = torch.device("cuda", 0)
    assert join_ranks(device) == Ranks(0, 2)
    assert joined["on"] == "cpu:gloo,cuda:nccl"
    assert joined["device_id"] == device
    assert joined["timeout"] >= timedelta(hours=12)


def meet(rank: int, port: int, queue: Any) -> None:
    os.environ |= {"WORLD_SIZE": "2", "RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = join_ranks(torch.device("cpu"))
    ranks.wait()
    queue.put((rank, ranks.share(lambda: {"made by": rank}), agree(ranks, rank == 0, 15 * rank), ranks.restarted()))
    leave_ranks()


def test_two_processes_agree() -> None:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    processes = [context.Process(target=meet, args=(rank, port, queue)) for rank in range(2)]
    for process in processes:
        process.start()
    found = sorted(queue.get(timeout=120) for _ in processes)
    for process in processes:
        process.join()
    assert found == [(rank, {"made by": 0}, (True, 15), False) for rank in range(2)]


@pytest.mark.parametrize(
    "error",
    [
        UsageError("a", hint="b"),
        MissingExtraError("torch", "train"),
        Interrupted(15, "a", "b"),
        SpecError([Diagnostic("E101", "a")], path="net.yaml", text="b"),
    ],
)
def test_errors_go_from_process_to_process(error: CnnspecError) -> None:
    found = pickle.loads(pickle.dumps(error))
    assert type(found) is type(error)
    assert (found.exit_code, str(found), vars(found)) == (error.exit_code, str(error), vars(error))


def children(pid: int) -> list[int]:
    return [int(line) for line in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(agent: int) -> list[int]:
    """The processes that torchrun has started, by their rank."""
    found = children(agent)
    ranks = [re.search(rb"\0RANK=(\d+)\0", Path(f"/proc/{pid}/environ").read_bytes()) for pid in found]
    return [pid for _, pid in sorted((int(rank[1]), pid) for pid, rank in zip(found, ranks, strict=True) if rank)]


def wait_for_epochs(count: int, metrics: Path) -> None:
    deadline = time.monotonic() + 120
    while not metrics.exists() or len(metrics.read_text().splitlines()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> float:
    """The accuracy of one process that nothing happens to."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "net.yaml").write_text(SPEC)
    train(folder, 1, "--name", "whole", *LONGER)
    result = open_run(folder / "runs" / "whole").result
    assert result is not None
    return float(result["test_accuracy"])


@needs_proc
@pytest.mark.long
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_worker_costs_nothing(tmp_path: Path, whole: float, rank: int) -> None:
    """torchrun starts all processes again, and they continue from the last checkpoint."""
    (tmp_path / "net.yaml").write_text(SPEC)
    with subprocess.Popen(
        command(2, "--name", "killed", *LONGER), cwd=tmp_path, env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for_epochs(3, tmp_path / "runs" / "killed" / "metrics.jsonl")
        os.kill(workers(process.pid)[rank], signal.SIGKILL)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert "continuing after" in said
    killed = open_run(tmp_path / "runs" / "killed").result
    assert killed is not None
    assert killed["test_accuracy"] == pytest.approx(whole, abs=0.01)


@needs_proc
@pytest.mark.long
@pytest.mark.parametrize("machine", [0, 1])
def test_a_worker_killed_on_one_of_two_machines(tmp_path: Path, whole: float, machine: int) -> None:
    """Two torchruns that find each other as on two machines. Each counts its own restarts."""
    (tmp_path / "net.yaml").write_text(SPEC)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    start = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--max-restarts=1"]
    start += ["--rdzv-backend=c10d", f"--rdzv-endpoint=localhost:{port}", "--local-addr=localhost"]
    agents = []
    for number in range(2):
        with open(tmp_path / f"said-{number}", "w") as said:
            arguments = ["-m", "cnnspec", "train", "net.yaml", *OPTIONS, "--name", "killed", *LONGER]
            several = environment() | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
            agents.append(subprocess.Popen([*start, *arguments], cwd=tmp_path, env=several, stderr=said))
    wait_for_epochs(3, tmp_path / "runs" / "killed" / "metrics.jsonl")
    os.kill(workers(agents[machine].pid)[0], signal.SIGKILL)
    codes = [agent.wait(timeout=240) for agent in agents]
    said = "".join((tmp_path / f"said-{number}").read_text() for number in range(2))
    assert codes == [0, 0], said
    assert "continuing after" in said
    killed = open_run(tmp_path / "runs" / "killed").result
    assert killed is not None
    assert killed["test_accuracy"] == pytest.approx(whole, abs=0.01)
