"""How fast a network runs: session creation, the first run, latency and throughput over batches and threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.runtime.session import open_session, provider_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Runner = Callable[[NDArray[Any]], object]

__all__ = ["BATCHES", "Bench", "Timing", "measure", "measure_sessions", "thread_counts"]

BATCHES: Final = (1, 32, 256)
FEWEST: Final = 5  # runs that are timed, however long they take
MOST: Final = 2000


@dataclass(frozen=True)
class Timing:
    """One way of running the network. Times are of one batch, in milliseconds."""

    engine: str  # `onnxruntime` or `torch`
    device: str
    batch: int
    threads: int
    runs: int
    p50: float
    p95: float
    p99: float
    images_per_second: float  # at the median
    gflops: float | None  # 10^9 operations of multiply-accumulates per second, 2 per MAC


@dataclass(frozen=True)
class Bench:
    """What was measured about one network."""

    name: str
    weights: str
    provider: str
    macs: int | None  # per image
    create_ms: float  # making a session
    first_ms: float  # its first run, at the first batch size
    timings: tuple[Timing, ...]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {"cnnspec": 1, **asdict(self)}


def thread_counts(cores: int | None = None) -> tuple[int, ...]:
    """1, 2, 4, … and the number of cores that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    cores = cores or usable
    powers = [2**power for power in range(10) if 2**power < cores]
    return (*powers, cores)


def measure(run: Runner, inputs: NDArray[Any], seconds: float) -> list[float]:
    """Seconds of single runs, after two that do not count: as many as fit into `seconds`, at least FEWEST."""
    for _ in range(2):
        run(inputs)
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < FEWEST or (time.perf_counter() < end and len(times) < MOST):
        start = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - start)
    return times


def summarize(
    times: Sequence[float], *, engine: str, device: str, batch: int, threads: int, macs: int | None
) -> Timing:
    """The percentiles of the times of single runs."""
    p50, p95, p99 = (float(value) for value in np.percentile(times, [50, 95, 99]))
    speed = batch / p50
    gflops = 2 * macs * speed / 1e9 if macs else None
    return Timing(engine, device, batch, threads, len(times), p50 * 1e3, p95 * 1e3, p99 * 1e3, speed, gflops)


def measure_sessions(
    model: bytes,
    shown: str,
    make: Callable[[int], NDArray[Any]],
    *,
    batches: Sequence[int],
    threads: Sequence[int],
    seconds: float,
    macs: int | None,
    device: str = "auto",
    others: Callable[[int, int], tuple[str, str, Runner] | None] = lambda batch, threads: None,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[str, float, float, list[Timing]]:
    """Run a model at every batch size and thread count, and beside each what `others` gives for the same.

    `make` gives the input for a batch size. Returns the provider, the milliseconds of making a session and of its
    first run, and the timings.
    """
    start = time.perf_counter()
    session = open_session(model, shown, device=device)
    created = time.perf_counter() - start
    given = session.get_inputs()[0].name
    first_inputs = make(batches[0])
    start = time.perf_counter()
    session.run(None, {given: first_inputs})
    first = time.perf_counter() - start
    provider = provider_of(session)
    timings = []
    for count in threads:
        session = open_session(model, shown, device=device, threads=count)
        for batch in batches:
            report(f"batch {batch}, {count} threads")
            inputs = make(batch)
            times = measure(lambda data, s=session: s.run(None, {given: data}), inputs, seconds)  # type: ignore[misc]
            timings.append(
                summarize(times, engine="onnxruntime", device=provider, batch=batch, threads=count, macs=macs)
            )
            other = others(batch, count)
            if other is not None:
                engine, where, run = other
                times = measure(run, inputs, seconds)
                timings.append(summarize(times, engine=engine, device=where, batch=batch, threads=count, macs=macs))
    return provider, created * 1e3, first * 1e3, timings
