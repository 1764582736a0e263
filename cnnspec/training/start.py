"""What a run starts from: its images, its network, and torch set up for it; and whether these are still the same."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import DataSet
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.graph import Graph
from cnnspec.torch_backend import build_module, check_state, read_weights
from cnnspec.torch_backend.rewrite import multiply_whole, pool_first, rectify_in_place
from cnnspec.training.config import TrainConfig, data_folder
from cnnspec.training.criterion import freeze, initialise
from cnnspec.training.distributed import Ranks
from cnnspec.training.machine import image_memory, keep_freed_memory, pick_threads
from cnnspec.training.progress import Progress
from cnnspec.training.run_folder import LAST

__all__ = ["build_network", "check_origin", "check_parts", "data_options", "open_images", "origin", "settle"]

# Options that may change between two parts of a run: where it runs, and when it ends.
_MAY_CHANGE: Final = {
    "cache", "channels_last", "checkpoint_every", "compile", "cuda_graph", "data", "data_dir", "device", "epochs",
    "loading", "patience", "pool_first", "skip_bad", "tensorboard", "threads", "weights", "workers",
}  # fmt: skip


def data_options(config: TrainConfig, device: torch.device, report: Callable[[str], None]) -> OpenOptions:
    """How a run with these options opens its images, in training and whenever it is scored or exported."""
    return OpenOptions(
        folder=data_folder(config, os.environ),
        val_fraction=config.val_fraction,
        seed=config.seed,
        skip_bad=config.skip_bad,
        loading=config.loading,
        cache=Path(config.cache).expanduser() if config.cache else None,
        memory=image_memory(device),
        report=report,
    )


def open_images(graph: Graph, config: TrainConfig, device: torch.device, ranks: Ranks, tell: Progress) -> DataSet:
    """The images that the options name, downloaded by one process where they are not there."""
    options = data_options(config, device, tell.message)
    if not ranks.first:
        ranks.wait()  # one process downloads
    data = open_data(config.data, graph, options)
    if ranks.first:
        ranks.wait()
    tell.message(data.remark)
    return data


def build_network(graph: Graph, config: TrainConfig, device: torch.device, *, weights: str | None) -> nn.Module:
    """The network on the device, fresh or with the weights that it starts from."""
    model = build_module(graph)
    initialise(model, config.init)
    if weights is not None:
        state = read_weights(Path(weights).expanduser())
        fresh = model.state_dict()
        for prefix in config.reset:
            names = [name for name in fresh if name == prefix or name.startswith(f"{prefix}.")]
            if not names:
                raise UsageError(f"--reset {prefix}: no weight of the network begins with that name")
            state.update((name, fresh[name]) for name in names)
        check_state(model, state, weights)
        model.load_state_dict(state, strict=False)  # counters of batch norm may be missing; all else was checked
    elif config.reset and config.weights is None:
        raise UsageError("--reset wants --weights: without them every layer starts fresh")
    freeze(model, config.freeze)
    if config.pool_first:
        pool_first(model)
    rectify_in_place(model)
    if device.type == "cpu":
        multiply_whole(model, graph)
    return model.to(device)


def check_parts(
    model: nn.Module, graph: Graph, config: TrainConfig, images: int, device: torch.device, ranks: Ranks
) -> None:
    """Raise UsageError where a part of a batch will be a single image and the network's batch norm wants more."""
    wholes = {min(images, config.batch_size), images % config.batch_size} - {0, 1 % config.batch_size}
    shares = [max(1, whole // ranks.count) for whole in wholes]
    parts = [(share - 1) % math.ceil(share / config.accumulate) + 1 for share in shares]
    if 1 not in parts:
        return
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            copy.deepcopy(model)(torch.zeros(1, *graph.input_shape, device=device))
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise UsageError(
            f"of batches of {config.batch_size} images"
            + f" in {config.accumulate} parts" * (config.accumulate > 1)
            + f" on {ranks.count} processes" * (ranks.count > 1)
            + ", some part is a single image, and batch norm wants two",
            hint="another `--batch-size`" + ", or a smaller `--accumulate`" * (config.accumulate > 1),
        ) from None


def settle(
    config: TrainConfig, model: nn.Module, graph: Graph, device: torch.device, ranks: Ranks, images: int, tell: Progress
) -> TrainConfig:
    """Set torch up for this run of so many images, and note in the options what was left to the machine.

    Raises UsageError for a precision that the device does not have.
    """
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch asks for it, before cuBLAS is first used
    torch.use_deterministic_algorithms(config.deterministic)
    torch.backends.cudnn.benchmark = not config.deterministic
    if config.precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is for CUDA: the CPU is slower with it", hint="`--precision bf16`, or fp32")
    if device.type == "cpu":
        keep_freed_memory()
    threads, channels_last = config.threads, config.channels_last
    if device.type == "cpu" and ranks.count == 1:
        if threads is None or channels_last is None:
            most = min(config.batch_size, images)
            shape = graph.input_shape
            threads, channels_last = pick_threads(model, shape, most, threads, channels_last, tell.message)
    else:  # torchrun has divided the threads; on CUDA the layout is known to help
        threads = threads or torch.get_num_threads()
        channels_last = device.type == "cuda" if channels_last is None else channels_last
    torch.set_num_threads(threads)
    return config.model_copy(update={"threads": threads, "channels_last": channels_last})


def origin(
    text: str, variant: str | None, params: Mapping[str, str], graph: Graph, config: TrainConfig, data: DataSet
) -> dict[str, Any]:
    """What a run began with, as a checkpoint notes it: its images, its spec, and the options it cannot do without."""
    return {
        "images": data.digest,
        "spec": repr([text, variant, sorted(params.items()), graph.input_shape]),
        "options": config.model_dump(mode="json", exclude=_MAY_CHANGE),
    }


def check_origin(before: Mapping[str, Any], now: Mapping[str, Any], run: Path) -> None:
    """Raise CnnspecError that names what has changed since a run began."""
    hint = f"bring that back; or `--weights {run / LAST}` starts another run from what this one has learned"
    if before["images"] != now["images"]:
        raise CnnspecError(f"the data set has other images or labels than {run} began with", hint=hint)
    if before["spec"] != now["spec"]:
        raise CnnspecError(f"the spec in {run} is not the one that the run began with", hint=hint)
    unchanged = TrainConfig().model_dump(mode="json")
    for name, value in now["options"].items():
        began = before["options"].get(name, unchanged[name])  # an option may be newer than the run
        if began != value:
            raise CnnspecError(
                f"{run / 'config.yaml'} says `{name}: {value}`, but the run began with {began}",
                hint=hint,
            )
