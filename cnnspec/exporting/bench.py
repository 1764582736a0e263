"""Timing a spec, a run or an ONNX file, beside torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from cnnspec.analysis import largest_batch
from cnnspec.analysis.flow import FLOAT
from cnnspec.errors import UsageError
from cnnspec.exporting.subject import macs
from cnnspec.graph import Graph
from cnnspec.images import channels_last
from cnnspec.intake import inputs_word
from cnnspec.limits import machine_memory
from cnnspec.onnx_backend.lower import check_size, lower, select_outputs
from cnnspec.onnx_backend.metadata import read_metadata
from cnnspec.runtime.bench import Bench, BenchOptions, Engine, measure_sessions
from cnnspec.runtime.files import open_model
from cnnspec.runtime.session import check_threads, open_session

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from cnnspec.exporting.subject import Subject

__all__ = ["bench_file", "bench_subject"]


@dataclass(frozen=True)
class _Timed:
    """A model, and the network that it computes."""

    name: str
    weights: str  # where they came from
    model: bytes
    graph: Graph
    bytes_last: bool = False  # whether the model takes bytes (N, H, W, C)

    def inputs(self, batch: int) -> NDArray[np.float32] | NDArray[np.uint8]:
        """Noise for the model to read."""
        random = np.random.default_rng(batch)
        if self.bytes_last:
            return random.integers(0, 256, (batch, *channels_last(self.graph.input_shape)), np.uint8)
        return random.standard_normal((batch, *self.graph.input_shape), np.float32)


def bench_subject(subject: Subject, options: BenchOptions, report: Callable[[str], None]) -> Bench:
    """Lower a network in memory and time it, beside the same network in torch."""
    graph = select_outputs(subject.network.graph)
    check_size(graph)  # before the weights are there
    model = lower(graph, subject.weights).SerializeToString()
    return _bench(_Timed(graph.name, subject.origin, model, graph), options, report)


def bench_file(path: str | os.PathLike[str], options: BenchOptions, report: Callable[[str], None]) -> Bench:
    """Time a file that cnnspec wrote, beside the network that it carries in torch."""
    file = open_model(path)
    session = open_session(file.data, file.path, device="cpu")
    metadata = read_metadata(session.get_modelmeta().custom_metadata_map, file.path)
    if metadata.batch is not None:
        options = replace(options, batches=(metadata.batch,))
    graph = select_outputs(metadata.network().graph, metadata.outputs)
    return _bench(_Timed(file.path, metadata.weights, file.data, graph, metadata.bytes_last), options, report)


def _bench(timed: _Timed, options: BenchOptions, report: Callable[[str], None]) -> Bench:
    if not options.batches or min(options.batches) < 1:
        raise UsageError("batches are numbers from 1 on")
    for threads in options.threads:
        check_threads(threads)
    _check_memory(timed.graph, max(options.batches), options.device)
    module = _torch_module(timed.graph, options.device) if options.torch else None

    def in_torch(batch: int, threads: int) -> Engine | None:
        return None if module is None else _torch_engine(module, timed.graph, batch, threads)

    each = macs(timed.graph)
    measured = measure_sessions(timed.model, timed.name, timed.inputs, options, each, beside=in_torch, report=report)
    return Bench(
        timed.name,
        timed.weights,
        measured.provider,
        measured.nodes,
        each,
        measured.create_ms,
        measured.first_ms,
        measured.timings,
        inputs_word(timed.graph.input_shape),
    )


def _check_memory(graph: Graph, batch: int, device: str) -> None:
    """Raise UsageError for a batch that this machine cannot hold: the system might end the process for it, unsaid.

    Of what a GPU holds onnxruntime tells by itself, but the input is made here first.
    """
    room = machine_memory()
    most = largest_batch(graph, room) if device == "cpu" else room // (FLOAT * prod(graph.input_shape))
    if batch > most:
        raise UsageError(
            f"a batch of {batch:,} does not fit into the {room / 1e9:.1f} GB there are: at most {most:,} do"
        )


def _torch_module(graph: Graph, device: str) -> nn.Module | None:
    """The network in torch, on the GPU where onnxruntime is to run there; None without torch."""
    try:
        import torch
    except ImportError:
        return None
    from cnnspec.torch_backend import build_module

    on_gpu = device != "cpu" and torch.cuda.is_available()
    return build_module(graph).eval().to("cuda" if on_gpu else "cpu")


def _torch_engine(module: nn.Module, graph: Graph, batch: int, threads: int) -> Engine:
    """The module on a batch of noise."""
    import torch

    device = next(iter(module.parameters()), torch.zeros(())).device
    inputs = torch.randn(batch, *graph.input_shape).to(device)
    torch.set_num_threads(threads)

    def run(_: NDArray[np.float32] | NDArray[np.uint8]) -> object:
        with torch.inference_mode():
            outputs = module(inputs)
            if device.type == "cuda":
                torch.cuda.synchronize()
            return outputs

    return Engine("torch", device.type, run)
