"""What a run will do, settled before its first step; and whether a run that continues is still the same one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final, TypedDict

import torch
from torch import Tensor, nn

from cnnspec.data.batches import to_device
from cnnspec.data.duplicates import count_duplicates
from cnnspec.data.photo import Photo
from cnnspec.data.prepare import Augment
from cnnspec.data.sets import DataSet, Images, ImageSet
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.ops import show_shape
from cnnspec.training.config import MAY_CHANGE, TrainConfig
from cnnspec.training.device import image_memory
from cnnspec.training.distributed import Ranks
from cnnspec.training.job import Job
from cnnspec.training.machine import pick_layout, pick_threads, pick_workers
from cnnspec.training.process import choose_kernels
from cnnspec.training.progress import Progress
from cnnspec.training.run_weights import LAST
from cnnspec.training.schedule import learning_rate
from cnnspec.training.shared import Shared
from cnnspec.training.starting import Start

__all__ = ["Origin", "Plan", "check_origin", "make_plan", "origin_of"]

_TOGETHER: Final = 10  # steps that are recorded as one, at most: a signal waits for them
_SCORED: Final = 256  # images that are scored at once, at most


class Origin(TypedDict):
    """What a run began with, as a checkpoint notes it: its images, its spec, and the options it cannot do without."""

    images: str
    spec: str
    options: dict[str, object]


@dataclass(frozen=True)
class Plan:
    """A run before its first step: what is asked for, with which options and images, and in how many steps."""

    job: Job
    config: TrainConfig  # the job's, with what the machine was left to choose
    device: torch.device
    ranks: Ranks
    data: DataSet
    train: ImageSet  # the images of `data`, on the device where it has room for them
    val: ImageSet
    origin: Origin
    resuming: bool  # there is a run in the folder, and it is to go on
    start: Start | None = None  # the weights that a run which begins is given

    @cached_property
    def count(self) -> int:
        """The images of an epoch. A last batch of one image, which has no variance for batch norm, is left out."""
        count = len(self.data.train_rows)
        return count - 1 if count % self.config.batch_size == 1 and count > 1 else count

    @cached_property
    def steps_per_epoch(self) -> int:
        """The updates of an epoch."""
        return math.ceil(self.count / self.config.batch_size)

    @cached_property
    def steps(self) -> int:
        """The updates of the whole run."""
        return self.steps_per_epoch * self.config.epochs

    @cached_property
    def duplicates(self) -> int:
        """The test images that are training images too."""
        return count_duplicates(self.data)

    @cached_property
    def steps_per_graph(self) -> int:
        """How many steps are recorded as one, where steps are recorded.

        By default as many, to a small number, as leave few over in an epoch: those run one by one, at ten times the
        cost. Averaging weights stands between two steps.
        """
        whole = self.count // self.config.batch_size
        if self.config.ema or not whole:
            return 1
        if self.config.steps_per_graph is not None:
            return min(self.config.steps_per_graph, whole)
        return min(range(1, 1 + max(1, min(_TOGETHER, whole // 4))), key=lambda k: whole // k + 10 * (whole % k))

    @property
    def workers(self) -> int:
        """How many processes or threads decode images."""
        return pick_workers(self.config.workers)

    @property
    def scored_at_once(self) -> int:
        """How many images a process scores at once: not more than it trains on, for memory may be short."""
        return min(_SCORED, -(-self.config.batch_size // (self.ranks.count * self.config.accumulate)))

    @property
    def layout(self) -> torch.memory_format:
        """How weights and images lie in memory."""
        images = len(self.job.network.graph.input_shape) == 3
        return torch.channels_last if self.config.channels_last and images else torch.contiguous_format

    @property
    def augment(self) -> Augment:
        """What is varied in training: of images only."""
        if len(self.job.network.graph.input_shape) != 3:
            return Augment()
        return Augment(self.config.rotate, self.config.shift, self.config.flip, self.config.erase)

    @property
    def photo(self) -> Photo:
        """What is varied of each image while it is read."""
        return photo_of(self.config)

    def epoch_rates(self, epoch: int) -> Tensor:
        """The learning rates of an epoch's steps, on the device."""
        first = epoch * self.steps_per_epoch
        rates = [self.learning_rate(first + step) for step in range(self.steps_per_epoch)]
        kind = torch.float64 if self.device.type == "cpu" else torch.float32  # what torch's updates take
        return torch.tensor(rates, dtype=kind).to(self.device)

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, from 0."""
        return learning_rate(self.config, step, self.steps, self.steps_per_epoch)


def make_plan(
    job: Job, data: DataSet, model: nn.Module, device: torch.device, *, ranks: Ranks, resuming: bool,
    progress: Progress, shared: Shared,
) -> Plan:  # fmt: skip
    """Settle a run of this model on these images, and set torch up for it.

    Raises UsageError for a precision that the device does not have.
    """
    config = _settle(job, model, device, ranks, len(data.train_rows), progress, shared)
    photo = photo_of(config)
    if photo:
        _check_photo(photo, data, job)
    train = data.train if photo else to_device(data.train, device, image_memory(device))
    if train is data.train and not photo and isinstance(train, Images) and not train.mapped and device.type != "cpu":
        size = train.images.nbytes / 1e6
        progress.message(f"{size:,.0f} MB of {data.inputs} stay in the host's memory: {device} has no room for them")
    return Plan(
        job=job,
        config=config,
        device=device,
        ranks=ranks,
        data=data,
        train=train,
        val=train if data.val is data.train else to_device(data.val, device, image_memory(device)),
        origin=origin_of(job, data),
        resuming=resuming,
    )


def photo_of(config: TrainConfig) -> Photo:
    """What a run with these options varies of each image while it is read."""
    return Photo(config.crop, config.jitter, config.policy)


def _check_photo(photo: Photo, data: DataSet, job: Job) -> None:
    """Raise UsageError where images cannot be varied one by one: they are none, or masks would have to move along."""
    shape = job.network.graph.input_shape
    if len(shape) != 3 or shape[0] not in (1, 3) or not data.bytes:
        what = show_shape(shape) if len(shape) != 3 or shape[0] not in (1, 3) else "numbers that are no bytes"
        raise UsageError(f"`crop`, `jitter` and `policy` are for photographs, and these are {what}")
    if data.task.target == "mask" and (photo.crop < 1 or photo.policy != "none"):
        raise UsageError(
            "`crop` and `policy` move what is in an image, and not the mask over it",
            hint="`--rotate`, `--shift` and `--flip` move both; `--jitter` changes colours alone",
        )


def _settle(
    job: Job, model: nn.Module, device: torch.device, ranks: Ranks, images: int, progress: Progress, shared: Shared
) -> TrainConfig:
    """Set torch up for a run of so many images, and note in its options what was left to the machine."""
    config = job.config
    choose_kernels(deterministic=config.deterministic, tf32=config.tf32)
    if config.precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is for CUDA: the CPU is slower with it", hint="`--precision bf16`, or fp32")
    threads, channels_last = config.threads, config.channels_last
    most, shape = min(config.batch_size, images), job.network.graph.input_shape
    if device.type == "cpu" and ranks.count == 1:
        if threads is None or channels_last is None:
            given = config.threads, config.channels_last
            threads, channels_last = shared.measured(
                (job.network.graph, most, config.pool_first, config.freezing, *given),
                lambda: pick_threads(model, shape, most, *given, progress.message),
            )
    else:  # torchrun has divided the threads
        threads = chosen = threads or torch.get_num_threads()
        if channels_last is None:
            key = (job.network.graph, most, config.pool_first, config.freezing, config.precision, config.tf32, device)
            channels_last = device.type == "cuda" and ranks.share(
                lambda: shared.measured(
                    key, lambda: (chosen, pick_layout(model, shape, most, device, config.precision))
                )[1]
            )
    torch.set_num_threads(threads)
    return config.model_copy(update={"threads": threads, "channels_last": channels_last})


def origin_of(job: Job, data: DataSet) -> Origin:
    """What a run of this job on these images begins with."""
    record = job.network.record()
    return {
        "images": data.digest,
        "spec": repr([record.spec, record.variant, sorted(record.params.items()), record.input_shape]),
        "options": job.config.model_dump(mode="json", exclude=MAY_CHANGE),
    }


def check_origin(before: Origin, now: Origin, run: Path) -> None:
    """Raise CnnspecError that names what has changed since a run began."""
    hint = f"bring that back; or `--weights {run / LAST}` starts another run from what this one has learned"
    if before["images"] != now["images"]:
        raise CnnspecError(f"the data set has other images or labels than {run} began with", hint=hint)
    if before["spec"] != now["spec"]:
        raise CnnspecError(f"the spec in {run} is not the one that the run began with", hint=hint)
    unchanged: Mapping[str, object] = TrainConfig().model_dump(mode="json")
    for name, value in now["options"].items():
        began = before["options"].get(name, unchanged[name])  # an option may be newer than the run
        if began != value:
            raise CnnspecError(
                f"{run / 'config.yaml'} says `{name}: {value}`, but the run began with {began}",
                hint=hint,
            )
