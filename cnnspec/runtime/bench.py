"""How fast a network runs: session creation, the first run, latency and throughput over batches and threads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.cores import usable_cores
from cnnspec.runtime.session import nodes_by_provider, open_session, provider_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Runner = Callable[[NDArray[Any]], object]

__all__ = [
    "BATCHES",
    "Bench",
    "BenchOptions",
    "Engine",
    "Measured",
    "Timing",
    "measure",
    "measure_sessions",
    "summarize",
    "thread_counts",
]

BATCHES: Final = (1, 32, 256)
FEWEST: Final = 5  # runs that are timed, however long they take
MOST: Final = 2000


@dataclass(frozen=True)
class BenchOptions:
    """What is timed: each batch size with each thread count."""

    batches: Sequence[int] = BATCHES
    threads: Sequence[int] = ()  # none: those of `thread_counts`
    seconds: float = 1.0  # for each combination
    device: str = "auto"
    torch: bool = True  # whether torch is timed too, where it is installed


@dataclass(frozen=True)
class Engine:
    """A way of running the network."""

    name: str  # `onnxruntime` or `torch`
    device: str
    run: Runner


@dataclass(frozen=True)
class Timing:
    """One way of running the network. Times are of one batch, in milliseconds."""

    engine: str
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
    nodes: dict[str, int] | None  # of the model, by the provider that runs them; None where onnxruntime does not say
    macs: int | None  # per input
    create_ms: float  # making a session
    first_ms: float  # its first run, at the first batch size
    timings: tuple[Timing, ...]
    inputs: str = "images"  # what they are called: images, signals or volumes

    def __repr__(self) -> str:
        return f"<Bench of {self.name} on {self.provider}: {len(self.timings)} timings>"

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain data."""
        return {"cnnspec": 1, **asdict(self)}


@dataclass(frozen=True)
class Measured:
    """What `measure_sessions` finds; the times are those of Bench."""

    provider: str
    nodes: dict[str, int] | None
    create_ms: float
    first_ms: float
    timings: tuple[Timing, ...]


def thread_counts(cores: int | None = None) -> tuple[int, ...]:
    """1, 2, 4, … and the number of cores that this process may use."""
    cores = cores or usable_cores()
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


def summarize(times: Sequence[float], engine: Engine, *, batch: int, threads: int, macs: int | None) -> Timing:
    """The percentiles of the times of single runs."""
    p50, p95, p99 = (float(value) for value in np.percentile(times, [50, 95, 99]))
    speed = batch / p50
    gflops = 2 * macs * speed / 1e9 if macs else None
    return Timing(
        engine.name, engine.device, batch, threads, len(times), p50 * 1e3, p95 * 1e3, p99 * 1e3, speed, gflops
    )


def measure_sessions(
    model: bytes,
    shown: str,
    inputs_of: Callable[[int], NDArray[Any]],
    options: BenchOptions,
    macs: int | None,
    *,
    beside: Callable[[int, int], Engine | None] = lambda batch, threads: None,
    report: Callable[[str], None] = lambda text: None,
) -> Measured:
    """Run a model at every batch size and thread count, and next to it what `beside` gives for the two.

    `inputs_of` gives the input for a batch size, `macs` is per image.
    """
    start = time.perf_counter()
    session = open_session(model, shown, device=options.device)
    created = time.perf_counter() - start
    name = session.get_inputs()[0].name
    inputs = inputs_of(options.batches[0])
    start = time.perf_counter()
    session.run(None, {name: inputs})
    first = time.perf_counter() - start
    provider, nodes = provider_of(session), nodes_by_provider(session)
    timings = []
    for threads in options.threads or thread_counts():
        session = open_session(model, shown, device=options.device, threads=threads)
        ours = Engine("onnxruntime", provider, lambda batch, s=session: s.run(None, {name: batch}))  # type: ignore[misc]
        for batch in options.batches:
            report(f"batch {batch}, {threads} threads")
            inputs = inputs_of(batch)
            for engine in (ours, beside(batch, threads)):
                if engine is not None:
                    times = measure(engine.run, inputs, options.seconds)
                    timings.append(summarize(times, engine, batch=batch, threads=threads, macs=macs))
    return Measured(provider, nodes, created * 1e3, first * 1e3, tuple(timings))
