"""What a search costs and finds: verdicts, feasible candidates, kills, processes, and digits.

    python benchmarks/search.py verdict feasible          # a minute, processor time and counts
    python benchmarks/search.py kills --count 40          # real processes, killed at random moments
    python benchmarks/search.py processes                 # one process and two, in turn: a machine for itself
    python benchmarks/search.py digits --searches 3       # against simple_cnn and random search: hours

Each prints what it measured as rows of a table.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search_kills import kills, show

import cnnspec
from cnnspec import api
from cnnspec.language import Network

# What may vary of `simple_cnn`, which is a point of it, within its own parameters and operations.
SIMPLE = """\
cnnspec: 1
name: simple
input: {shape: [1, 28, 28], mean: [0.1307], std: [0.3081]}
params: {width: 10, second: 20, kernel: 5, padded: 0, act: ReLU, norm: False, hidden: 0}
train: {threads: 1, channels_last: false}
layers:
  conv1: Conv2d(width, kernel, padding=padded * (kernel // 2))
  norm1: BatchNorm2d if norm
  act1: act
  pool1: MaxPool2d(2)
  conv2: Conv2d(second, kernel, padding=padded * (kernel // 2))
  norm2: BatchNorm2d if norm
  act2: act
  pool2: MaxPool2d(2)
  flatten: Flatten
  fc1: Linear(hidden) if hidden > 0
  act3: act if hidden > 0
  fc: Linear(10)
search:
  space:
    width: {int: [4, 32], step: 2}
    second: {int: [8, 64], step: 4}
    kernel: [3, 5, 7]
    padded: [0, 1]
    act: [ReLU, SiLU, GELU]
    norm: [true, false]
    hidden: {int: [0, 64], step: 16}
    train.lr: {log: [0.005, 0.3]}
    train.weight_decay: {log: [1.0e-5, 1.0e-2]}
"""
CPU = {"device": "cpu", "threads": 1, "channels_last": False}


def simple(share: int = 1, **section: object) -> str:
    """The spec of SIMPLE within so many times what `simple_cnn` takes; `section` is more of its section `search`."""
    totals = cnnspec.load("simple_cnn").analyze().totals
    limits = f"{{params: {share * totals.params}, macs: {share * totals.macs}}}"
    return SIMPLE + "".join(f"  {key}: {value}\n" for key, value in {"limits": limits, **section}.items())


def seconds_each(act: Callable[[], object], count: int) -> float:
    """Processor time of one of so many calls, after two that do not count."""
    for _ in range(2):
        act()
    start = time.process_time()
    for _ in range(count):
        act()
    return (time.process_time() - start) / count


def verdict() -> None:
    """Processor time from a candidate's parameters to its verdict."""
    print("| verdict | processor time | wanted |\n|---|--:|--:|")
    limits = {"params": "500k", "macs": "20M", "field": ">= 28", "peak": "1MB"}
    source = random.Random(0)
    for name, spec, varied, most in (
        ("simple_cnn-like", cnnspec.loads(simple()), lambda: {"width": source.randrange(4, 32)}, 5),
        ("resnet50", cnnspec.load("resnet50"), lambda: {"num_classes": source.randrange(10, 1000)}, 25),
    ):
        each = seconds_each(lambda s=spec, v=varied: cnnspec.judge(s.with_params(v()), limits), 50)
        print(f"| {name} | {each * 1e3:.1f} ms | {most} ms |")


def feasible(trials: int = 60) -> None:
    """The share of candidates within the limits among those looked at for the second half of the trials."""
    from optuna.trial import TrialState, create_trial

    from cnnspec.search.folder import SearchPlan
    from cnnspec.search.journal import distributions, quiet
    from cnnspec.search.propose import Proposer
    from cnnspec.search.screen import screen
    from cnnspec.training.config import TrainConfig

    print("| limits | at random | second half | times |\n|---|--:|--:|--:|")
    totals = cnnspec.load("simple_cnn").analyze().totals
    for share in (1, 2, 4):
        spec = cnnspec.loads(simple(share), purpose="train")
        section = spec.source.document.search
        assert section is not None
        plan = SearchPlan(spec, section, TrainConfig(epochs=8))
        at_random = [each.fits for each in screen(spec, section, sample=2000).looked]
        looked: list[bool] = []
        proposer = Proposer(plan, screen(spec, section))
        look = proposer._look

        def counting(candidate, look=look, looked=looked):
            seen = look(candidate)
            looked.append(seen.fits)
            return seen

        proposer._look = counting  # type: ignore[method-assign]
        known: list = []
        half = 0
        with quiet():
            for number in range(trials):
                half = len(looked) if number == trials // 2 else half
                found = proposer.next(known)
                assert found.verdict is not None
                value = 0.9 + 0.1 * min(
                    1.0, found.verdict.figures.params / (share * totals.params)
                )  # larger ones are better
                known.append(
                    create_trial(
                        state=TrialState.COMPLETE, value=value, params=dict(found.candidate.values),
                        distributions=distributions(section), user_attrs={"architecture": found.architecture},
                    )
                )  # fmt: skip
        first, second = statistics.mean(at_random), statistics.mean(looked[half:])
        print(f"| {share} times those of simple_cnn | {first:.0%} | {second:.0%} | {second / first:.1f} |")


def processes(trials: int = 40) -> None:
    """Trials an hour of one process and of two, in turn, and the processor time of a trial of each: some 3 minutes.

    Both train the same networks, which are drawn at random. Where others use the machine, the clock says little; what a
    trial takes of the processor says what two processes lose by each other.
    """
    print("| processes | trials an hour | processor time of a trial |\n|--:|--:|--:|")
    speeds: dict[int, float] = {}
    text = simple(trials=trials, epochs=8, prune="false", sampler="random")
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "net.yaml").write_text(text)
            arguments = ["search", "net.yaml", "--data", "digits", "--device", "cpu", "--workers", str(workers)]
            start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run(
                [sys.executable, "-m", "cnnspec", *arguments], cwd=place, check=True, stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        took = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
        speeds[workers] = trials / seconds * 3600
        print(f"| {workers} | {speeds[workers]:,.0f} | {took / trials:.2f} s |", flush=True)
    print(f"times: {speeds[2] / speeds[1]:.2f}, wanted 1.6")


def retrained(network: Network, options: dict[str, Any], times: int, folder: Path) -> list[float]:
    """Test accuracies of so many trainings, with seeds that no search has used. What is there is not done again."""
    found = []
    for seed in range(1000, 1000 + times):
        path = folder / f"r{seed}"
        outcome = api.open_run(path).result if (path / "config.yaml").is_file() else None
        if outcome is None:
            call = {**options, "seed": seed, "runs": folder, "name": path.name}
            outcome = cnnspec.train(network, **call, existing="overwrite", progress=None).to_dict()
        found.append(float(outcome["test_accuracy"]))
    return found


def first_digits(data_dir: Path, count: int, folder: Path) -> dict[str, Any]:
    """Options that train on the first `count` training digits of the MNIST in `data_dir`, and test on all of its."""
    from torchvision.datasets import MNIST

    raw = folder / "digits" / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for part, train, most in (("train", True, count), ("t10k", False, None)):
        images, labels = MNIST(data_dir, train=train).data[:most], MNIST(data_dir, train=train).targets[:most]
        size = struct.pack(">I", len(images))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            b"\0\0\x08\x03" + size + struct.pack(">II", 28, 28) + images.numpy().tobytes()
        )
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(b"\0\0\x08\x01" + size + labels.byte().numpy().tobytes())
    return {"data": "mnist", "data_dir": str(folder / "digits"), "val_fraction": 0.2}


def digits(given: argparse.Namespace, folder: Path) -> None:
    """The winners of searches, of random searches with as many feasible trials, and simple_cnn itself, retrained.

    What lies in the folder is not done again: cut off, the same command goes on. The table is printed after each pair.
    """
    options = {"data": "digits"} if given.data_dir is None else first_digits(given.data_dir, given.images, folder)
    options |= CPU
    found: dict[str, list[list[float]]] = {"tpe": [], "random": [], "simple_cnn": []}
    for seed in range(given.searches):
        for sampler in ("tpe", "random"):
            spec = cnnspec.loads(simple(trials=given.trials, epochs=given.epochs, sampler=sampler), purpose="train")
            name = f"{sampler}{seed}"
            result = api.search(spec, name=name, searches=folder, progress=True, seed=seed, **options)
            assert result.best is not None
            run = api.open_run(result.best.run)
            again = {key: value for key, value in run.config.model_dump().items() if key != "seed"}
            found[sampler].append(retrained(run.network, again, given.times, folder / "again" / name))
            pruned = sum(each.status == "pruned" for each in result.trials)
            print(f"{name}: {result.done} trials, {pruned} of them pruned; {result.best.candidate}", flush=True)
        times = given.times * (seed + 1)
        plain = retrained(
            cnnspec.load("simple_cnn"), options | {"epochs": given.epochs}, times, folder / "again" / "simple"
        )
        found["simple_cnn"] = [plain[start : start + given.times] for start in range(0, times, given.times)]
        accuracies(found)


def accuracies(found: dict[str, list[list[float]]]) -> None:
    """The table of test accuracies: each winner's, and the mean over all trainings with its standard error."""
    print("| | each winner | trainings | mean test accuracy | standard error |\n|---|---|--:|--:|--:|")
    for name, winners in found.items():
        each = ", ".join(f"{statistics.mean(values):.2%}" for values in winners)
        values = [value for winner in winners for value in winner]
        error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
        print(f"| {name} | {each} | {len(values)} | {statistics.mean(values):.2%} | {error:.2%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["verdict", "feasible", "kills", "processes", "digits"])
    parser.add_argument("--count", type=int, default=40, help="kills")
    parser.add_argument("--ray", metavar="ADDRESS", help="kills: the driver's workers run on this cluster")
    parser.add_argument("--folder", type=Path, help="keeps all that is done; what digits finds there is not done again")
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=8, help="the most of each trial")
    parser.add_argument("--times", type=int, default=10, help="trainings of each winner")
    parser.add_argument("--data-dir", type=Path, help="digits: MNIST lies here; without it, the bundled digits")
    parser.add_argument("--images", type=int, default=60_000, help="digits: so many of its training images")
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores")
    for part in given.parts:
        match part:
            case "verdict":
                verdict()
            case "feasible":
                feasible()
            case "kills":
                with tempfile.TemporaryDirectory() as place:
                    show(kills(given.folder or Path(place), given.count, given.ray))
            case "processes":
                processes()
            case "digits":
                with tempfile.TemporaryDirectory() as place:
                    digits(given, given.folder or Path(place))


if __name__ == "__main__":
    main()
