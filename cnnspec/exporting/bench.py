"""Timing a spec, a run or an ONNX file, beside torch."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.errors import MissingExtraError, UsageError
from cnnspec.exporting.files import embedded_graph
from cnnspec.graph import Graph
from cnnspec.onnx_backend.metadata import Metadata, check_seal, read_metadata
from cnnspec.runtime.bench import BATCHES, Bench, measure_sessions, thread_counts
from cnnspec.runtime.files import is_known, read_model, remember
from cnnspec.runtime.session import open_session
from cnnspec.runtime.trial import Trial

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Subject
    from cnnspec.runtime.bench import Runner

__all__ = ["bench_file", "bench_subject"]


def bench_subject(
    subject: Subject,
    *,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] = (),
    seconds: float = 1.0,
    device: str = "auto",
    torch: bool = True,
    report: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Lower a network in memory and time it, beside the same network in torch."""
    onnx = _lowering()
    graph = onnx.select_outputs(subject.graph)
    onnx.check_size(graph)
    model = onnx.lower(graph, subject.weights).SerializeToString()
    module = _torch_module(graph, device) if torch else None
    return _bench(model, graph.name, subject.origin, graph, None, module, batches, threads, seconds, device, report)


def bench_file(
    path: str | os.PathLike[str],
    *,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] = (),
    seconds: float = 1.0,
    device: str = "auto",
    torch: bool = True,
    report: Callable[[str], None] = lambda text: None,
) -> Bench:
    """Time a file that cnnspec wrote, beside the network that it carries in torch."""
    shown = os.fspath(path)
    model = read_model(path)
    digest = check_seal(model, shown)
    if not is_known(digest):
        with Trial() as trial:
            trial.run(model, shown)
        remember(digest)
    session = open_session(model, shown, device="cpu")
    about = read_metadata(session.get_modelmeta().custom_metadata_map, shown)
    if about.batch is not None:
        batches = (about.batch,)
    graph = _lowering().select_outputs(embedded_graph(about), about.outputs)
    module = _torch_module(graph, device) if torch else None
    return _bench(model, shown, about.weights, graph, about, module, batches, threads, seconds, device, report)


def _lowering() -> Any:
    """The module that lowers networks. Raises MissingExtraError."""
    try:
        from cnnspec.onnx_backend import lower
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "onnx") from None
    return lower


def _bench(
    model: bytes,
    name: str,
    weights: str,
    graph: Graph,
    about: Metadata | None,
    module: Any,
    batches: Sequence[int],
    threads: Sequence[int],
    seconds: float,
    device: str,
    report: Callable[[str], None],
) -> Bench:
    if not batches or min(batches) < 1 or any(count < 1 for count in threads):
        raise UsageError("batches and threads are numbers from 1 on")
    macs = sum(node.op.macs(*node.input_shapes) for node in graph)
    bytes_last = about is not None and about.layout == "NHWC"

    def make(batch: int) -> NDArray[Any]:
        random = np.random.default_rng(batch)
        if bytes_last:
            return random.integers(0, 256, (batch, *graph.input_shape[1:], graph.input_shape[0]), np.uint8)
        return random.standard_normal((batch, *graph.input_shape), np.float32)

    def others(batch: int, count: int) -> tuple[str, str, Runner] | None:
        return None if module is None else _torch_runner(module, graph, batch, count)

    provider, created, first, timings = measure_sessions(
        model,
        name,
        make,
        batches=batches,
        threads=threads or thread_counts(),
        seconds=seconds,
        macs=macs,
        device=device,
        others=others,
        report=report,
    )
    return Bench(name, weights, provider, macs, created, first, tuple(timings))


def _torch_module(graph: Graph, device: str) -> Any:
    """The network in torch, on the GPU where onnxruntime is to run there; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    from cnnspec.torch_backend import build_module

    on_gpu = device != "cpu" and torch.cuda.is_available()
    return build_module(graph).eval().to("cuda" if on_gpu else "cpu")


def _torch_runner(module: Any, graph: Graph, batch: int, threads: int) -> tuple[str, str, Runner]:
    import torch

    place = next(iter(module.parameters()), torch.zeros(())).device
    inputs = torch.randn(batch, *graph.input_shape).to(place)
    torch.set_num_threads(threads)

    def run(_: NDArray[Any]) -> object:
        with torch.inference_mode():
            found = module(inputs)
            if place.type == "cuda":
                torch.cuda.synchronize()
            return found

    return "torch", place.type, run
