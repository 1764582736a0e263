"""The training loop, from top to bottom in one reading."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn

from cnnspec.data.loaders import LoaderPool
from cnnspec.errors import CnnspecError
from cnnspec.training.device import pick_device
from cnnspec.training.distributed import Ranks, is_lost_peer, join_ranks, leave_ranks
from cnnspec.training.feed import Feed
from cnnspec.training.graphed import cuda_recorder
from cnnspec.training.job import Job, TrainResult
from cnnspec.training.keeper import keep
from cnnspec.training.learner import Learner, Recorder
from cnnspec.training.machine import keep_freed_memory
from cnnspec.training.memory import is_out_of_memory, too_large
from cnnspec.training.plan import Plan, make_plan
from cnnspec.training.process import (
    is_not_deterministic,
    no_deterministic_kernel,
    process_restored,
    seed_generators,
)
from cnnspec.training.progress import Progress, Silent, speaks
from cnnspec.training.run_folder import has_checkpoint, is_run
from cnnspec.training.run_writer import RunFolder
from cnnspec.training.shared import Shared
from cnnspec.training.start import build_network, check_parts, check_tuning, open_images, standardised, trained_in_words
from cnnspec.training.starting import start_from

__all__ = ["run", "train"]


def run(learner: Learner, progress: Progress) -> TrainResult:
    """Train until the learner's plan is done, and write its folder. Raises as `train`."""
    plan = learner.plan
    with keep(plan, learner, progress) as keeper:  # started or resumed
        feed = Feed(plan, keeper.counters.epoch, keeper.counters.position, learner.loaders)
        while not keeper.over:
            keeper.begin_epoch()
            learner.begin_epoch(keeper.counters.epoch)
            for batch in feed if learner.recorded is None else feed.rows():
                keeper.after_step(learner.step(batch, keeper.counters.step), batch.size)
            feed = feed.following()  # made ready while the device is still at work
            keeper.end_steps()
            keeper.end_epoch(learner.validate(stop=lambda: keeper.interrupted))
        return plan.ranks.share(keeper.finish)


def train(job: Job, progress: Progress | None = None, shared: Shared | None = None) -> TrainResult:
    """Train a network as the job says, and write its run folder. The process is left as it was.

    `shared` is what this run may have in common with others of this process. Raises UsageError where the data or the
    options do not fit, CnnspecError where the loss is no longer finite, memory runs out, a file cannot be written or
    every checkpoint is damaged, and Interrupted after a signal that ends it.
    """
    device = pick_device(job.config.device, progress.message if progress is not None and speaks() else Silent().message)
    with process_restored(device):
        ranks = join_ranks(device)
        listener = progress if progress is not None and ranks.first else Silent()
        try:
            with LoaderPool() as loaders:
                result = _train_with_room(job, listener, device, ranks, loaders, shared or Shared())
            leave_ranks()
            return result
        except RuntimeError as error:
            if ranks.count > 1 and is_lost_peer(error):
                raise CnnspecError("another process of this run has ended; see what it said") from error
            if "DataLoader worker" in str(error):
                raise CnnspecError(
                    f"a process that decodes images has ended: {_first_line(error)}",
                    hint=f"`cnnspec train --resume {job.folder}` continues;"
                    " fewer `workers` in its config.yaml save memory",
                ) from error
            if is_not_deterministic(error):
                raise no_deterministic_kernel(error, job.network.graph) from error
            if ranks.count > 1 and isinstance(error, torch.distributed.DistError):
                raise CnnspecError(f"the processes of this run cannot work together: {_first_line(error)}") from error
            if not is_out_of_memory(error):
                raise
        raise too_large(job.network.graph, job.config.batch_size, device)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _train_with_room(
    job: Job, progress: Progress, device: torch.device, ranks: Ranks, loaders: LoaderPool, shared: Shared
) -> TrainResult:
    """Train; where memory runs out beside a recorded step, go on from the last checkpoint without one."""
    recorded = False

    def record(plan: Plan, model: nn.Module) -> Recorder | None:
        nonlocal recorded
        recorder = cuda_recorder(plan, model, progress.message)
        recorded = recorder is not None
        return recorder

    try:
        return _train(job, progress, device, ranks, loaders, shared, record)
    except RuntimeError as error:
        if not recorded or not is_out_of_memory(error):
            raise
    progress.message("memory ran out: going on without recorded steps, which keep memory of their own")
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    plain = job.config.model_copy(update={"cuda_graph": False})
    return _train(
        replace(job, config=plain, existing="resume"), progress, device, ranks, loaders, shared, lambda *_: None
    )


def _train(
    job: Job, progress: Progress, device: torch.device, ranks: Ranks, loaders: LoaderPool, shared: Shared,
    record: Callable[[Plan, nn.Module], Recorder | None],
) -> TrainResult:  # fmt: skip
    """Open, build and settle; then run."""
    if ranks.first and job.folder.exists():
        RunFolder(job.folder).close()  # where another process has it, say so before reading images
    resuming = ranks.share(lambda: job.existing == "resume" and is_run(job.folder))
    begun = resuming and ranks.share(lambda: has_checkpoint(job.folder))
    check_tuning(job.network.graph, job.config, epochs=None if begun else job.config.epochs)
    if device.type == "cpu":
        keep_freed_memory()  # first of all images that are decoded and let go
    data = open_images(job, device, ranks, progress, shared)
    if job.config.standardise:
        job = standardised(job, data, progress)
    if begun and not data.fixed:
        raise CnnspecError(
            f"{job.folder} cannot be continued: its data give other samples each time they are read",
            hint="begin it again; what varies them at random can be left to the run: `rotate`, `shift`, `flip`, …",
        )
    if job.config.freezing:
        progress.message(trained_in_words(job.network.graph, job.config))
    seed_generators(job.config.seed, device)
    weights = None if begun else job.config.weights
    start = None if weights is None else start_from(job.network.graph, job.config, job.weights or weights, weights)
    model = build_network(job.network.graph, job.config, device, weights=start)
    if start is not None:
        for line in start.table():
            progress.message(line)
    check_parts(model, job.network.graph, job.config, len(data.train_rows), device, ranks)
    plan = make_plan(job, data, model, device, ranks=ranks, resuming=resuming, progress=progress, shared=shared)
    plan = replace(plan, start=start)
    return run(Learner(plan, model, loaders, record(plan, model)), progress)
