"""What a run starts from: its images and its network."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import fx, nn

from cnnspec.analysis.freezing import EVERYTHING, check_layer
from cnnspec.data.measure import measure, suspicions
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.sets import DataSet
from cnnspec.errors import UsageError
from cnnspec.files import expand_user
from cnnspec.graph import Graph, is_below
from cnnspec.images import MAX_PIXELS
from cnnspec.language.network import normalised
from cnnspec.ops.norm import InstanceNorm
from cnnspec.torch_backend import build_module
from cnnspec.torch_backend.rewrite import multiply_whole, pool_first, rectify_in_place
from cnnspec.training.config import TrainConfig, data_folder
from cnnspec.training.criterion import freeze, initialise
from cnnspec.training.device import image_memory
from cnnspec.training.distributed import Ranks
from cnnspec.training.job import Job
from cnnspec.training.progress import Progress
from cnnspec.training.shared import Shared
from cnnspec.training.starting import Start

__all__ = [
    "build_network", "check_norms", "check_parts", "check_tuning", "data_options", "fresh_network", "open_images",
    "standardised", "trained_in_words",
]  # fmt: skip


def data_options(config: TrainConfig, device: torch.device, report: Callable[[str], None]) -> OpenOptions:
    """How a run with these options opens its images, in training and whenever it is scored or exported."""
    return OpenOptions(
        folder=data_folder(config, os.environ),
        val_fraction=config.val_fraction,
        seed=config.seed,
        skip_bad=config.skip_bad,
        max_pixels=config.max_pixels or MAX_PIXELS,
        loading=config.loading,
        cache=expand_user(config.cache) if config.cache else None,
        memory=image_memory(device),
        report=report,
        as_files=config.crop < 1,
    )


def open_images(job: Job, device: torch.device, ranks: Ranks, progress: Progress, shared: Shared) -> DataSet:
    """The images of a run, downloaded by one process where they are not there."""
    graph, config, name = job.network.graph, job.config, job.data or job.config.data
    options = replace(data_options(config, device, progress.message), varied=config.varied)

    def open_first_alone() -> DataSet:
        if not ranks.first:
            ranks.wait()  # one process downloads
        data = open_data(name, graph, options)
        if ranks.first:
            ranks.wait()
        return data

    network = graph.input_shape, tuple(graph.shape_of(output) for output in graph.outputs), graph.classes
    how = (
        options.folder,
        options.val_fraction,
        options.seed,
        options.skip_bad,
        options.max_pixels,
        options.loading,
        options.cache,
        options.as_files,
        options.varied,
    )
    data = shared.data((name, network, how, device), open_first_alone)
    progress.message(data.remark)
    for line in suspicions(data):
        progress.message(line)
    return data


def standardised(job: Job, data: DataSet, progress: Progress) -> Job:
    """The job with mean and std as measured on its training images, unless its network has some already."""
    if job.network.graph.mean:
        return job
    mean, std = measure(data)
    listed = "; ".join(f"{middle:.4g}, {spread:.4g}" for middle, spread in zip(mean, std, strict=True))
    progress.message(f"mean and std of the training images, channel by channel: {listed}")
    return replace(job, network=normalised(job.network, mean=mean, std=std))


def build_network(graph: Graph, config: TrainConfig, device: torch.device, *, weights: Start | None) -> nn.Module:
    """The network on the device, fresh or with the weights that it starts from, and made fast."""
    check_norms(graph)
    model = fresh_network(graph, config, weights=weights)
    if config.pool_first:
        pool_first(model)
    rectify_in_place(model)
    if device.type == "cpu":
        multiply_whole(model, graph)
    return model.to(device)


def fresh_network(graph: Graph, config: TrainConfig, *, weights: Start | None) -> fx.GraphModule:
    """The network as it is declared, fresh or with the weights that it starts from."""
    model = build_module(graph)
    initialise(model, config.init)
    if weights is not None:
        weights.load(model)
    elif (config.reset or config.leave_out) and config.weights is None:
        option = "--reset" if config.reset else "--leave-out"
        raise UsageError(f"{option} wants --weights: without them every layer starts fresh")
    check_tuning(graph, config)
    freeze(model, config.freezing.at(graph))
    return model


def check_tuning(graph: Graph, config: TrainConfig, *, epochs: int | None = None) -> None:
    """Raise UsageError where what is frozen, thawed or has a rate of its own is not of this network, or says nothing.

    With `epochs`, those of a run that begins, also for a layer that would be thawed after them.
    """
    config.freezing.check(graph, epochs)
    never = config.freezing.at(graph)
    for name, scale in config.lr_scale.items():
        if name == EVERYTHING:
            continue
        check_layer(graph, name, "--lr-scale")
        below = [tensor for tensor in graph.state_shapes() if is_below(tensor, (name,))]
        if all(is_below(tensor, never) for tensor in below):
            raise UsageError(f"--lr-scale {name}={scale:g}: it is frozen, so that no rate moves it")


def trained_in_words(graph: Graph, config: TrainConfig) -> str:
    """How many parameters are trained, at first and in the end, of a network that has frozen layers."""
    total = sum(node.params for node in graph)
    still = [sum(node.frozen_params(config.freezing.at(graph, epoch)) for node in graph) for epoch in (0, None)]
    first, last = (total - frozen for frozen in still)
    later = f" at first, and {last:,} in the end" if last != first else ""
    return f"{first:,} of {total:,} parameters are trained{later}"


def check_norms(graph: Graph) -> None:
    """Raise UsageError for a norm that runs, by its running statistics, and has no variance to be trained with."""
    trained = graph.ancestors(graph.outputs + graph.aux_outputs)
    for node in graph:
        if node.name in trained and isinstance(node.op, InstanceNorm) and math.prod(node.shape[1:]) == 1:
            raise UsageError(
                f"layer `{node.name}`: {node.op.op_name} cannot be trained on one value per channel",
                hint="it has no variance: normalise where the map is larger, or by BatchNorm",
            )


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
