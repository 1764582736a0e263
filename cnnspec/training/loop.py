"""The training loop, from top to bottom in one reading."""

from __future__ import annotations

import copy
import hashlib
import math
import os
import time
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from cnnspec.data.batches import batch_rows, batches, take, to_device
from cnnspec.data.folder import close_streams
from cnnspec.data.open import OpenOptions, open_data
from cnnspec.data.order import epoch_numbers, epoch_order, epoch_shares, neighbours
from cnnspec.data.prepare import COLUMNS, Augment, Prepare, mix
from cnnspec.data.sets import DataSet, Images
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import write_atomic
from cnnspec.graph import Graph
from cnnspec.spec import Source
from cnnspec.torch_backend import build_module, check_state, read_weights, weights_bytes
from cnnspec.torch_backend.rewrite import multiply_whole, pool_first, rectify_in_place
from cnnspec.training.board import open_board
from cnnspec.training.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.training.config import TrainConfig, data_folder
from cnnspec.training.criterion import freeze, initialise, make_loss, make_optimizer, make_update
from cnnspec.training.distributed import Ranks, is_lost_peer, join_ranks, leave_ranks
from cnnspec.training.evaluate import evaluate
from cnnspec.training.graphed import GraphedStep, why_not_graphed
from cnnspec.training.machine import describe, image_memory, keep_freed_memory, pick_device, pick_threads
from cnnspec.training.memory import is_out_of_memory, too_large
from cnnspec.training.plots import draw_run
from cnnspec.training.progress import Progress, Silent
from cnnspec.training.run_folder import BEST, CHECKPOINTS, LAST, RunFolder
from cnnspec.training.schedule import learning_rate
from cnnspec.training.signals import Interrupted, Signals

__all__ = ["Job", "TrainResult", "train"]

LOOK_EVERY: Final = 1.0  # seconds between two looks at the loss, which make the device and the program meet
AGREE_EVERY: Final = 8  # steps between two agreements of several processes on saving and stopping


@dataclass(frozen=True)
class Job:
    """A run to start, or to continue: the network and its texts, the options and the folder."""

    source: Source
    graph: Graph
    config: TrainConfig
    folder: Path
    variant: str | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class TrainResult:
    """What came of a run. `test` figures are those of the best epoch's weights on images never used before."""

    run: str
    epochs: int
    best_epoch: int
    val_loss: float
    val_accuracy: float
    test_loss: float | None
    test_accuracy: float | None
    test_images: int
    seconds: float


@dataclass
class Counters:
    """How far a run has come. Plain values, saved in every checkpoint."""

    epoch: int = 0  # finished epochs
    position: int = 0  # images of the running epoch that are done
    step: int = 0  # updates so far
    first_step: int = 0  # updates before the running epoch
    seconds: float = 0.0
    best: dict[str, Any] | None = None  # the metrics of the best epoch
    history: list[dict[str, Any]] = field(default_factory=list)  # the metrics of every epoch


def train(job: Job, progress: Progress | None = None) -> TrainResult:
    """Train a network as the job says, and write its run folder.

    Raises UsageError where the data or the options do not fit, CnnspecError where the loss is no longer finite, memory
    runs out, a file cannot be written or every checkpoint is damaged, and Interrupted after SIGINT or SIGTERM.
    """
    device = pick_device(job.config.device)
    ranks = join_ranks(device)
    try:
        result = _train(job, progress if progress is not None and ranks.first else Silent(), device, ranks)
        leave_ranks()
        return result
    except RuntimeError as error:
        if ranks.count > 1 and is_lost_peer(error):
            raise CnnspecError("another process of this run has ended; see what it said") from error
        if not is_out_of_memory(error):
            raise
    finally:
        close_streams()
    raise too_large(job.graph, job.config.batch_size, device)


def _train(job: Job, tell: Progress, device: torch.device, ranks: Ranks) -> TrainResult:
    config, graph = job.config, job.graph
    data = _open(graph, config, device, ranks, tell)
    train_source = to_device(data.train, device)
    val_source = train_source if data.val is data.train else to_device(data.val, device)
    torch.manual_seed(config.seed)
    begun = job.resume and any((job.folder / CHECKPOINTS).glob("*.pt"))
    model = _build(graph, config, device, weights=None if begun else config.weights)
    config = _settle(config, model, graph, device, ranks)
    layout = torch.channels_last if config.channels_last else torch.contiguous_format
    model.to(memory_format=layout)
    averaged = copy.deepcopy(model).requires_grad_(False) if config.ema else None
    scored = averaged if averaged is not None else model
    network: Any = ranks.wrap(model, device, sync_norm=config.sync_norm)
    if config.compile:
        network = torch.compile(network)
    optimizer = make_optimizer(config, model, device)
    update = make_update(config, optimizer)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    criterion = make_loss(config, data.counts, device)
    augment = Augment(config.rotate, config.shift, config.flip, config.erase)
    prepare = Prepare(graph, device, augment, layout)
    classes = len(data.classes)
    count, size = len(data.train_rows), config.batch_size
    if count % size == 1 and count > 1:
        count -= 1  # a batch of one image has no variance for batch norm
    steps_per_epoch = math.ceil(count / size)
    steps = steps_per_epoch * config.epochs
    losses = torch.zeros(steps_per_epoch, device=device)  # of this epoch's steps, kept on the device
    at = Counters()

    def learn(images: Tensor, labels: Tensor, draw: Tensor | None, whole: int, mixed: Any = None) -> Tensor:
        """One update from one batch, of `whole` images over all processes. Gives back their loss."""
        x, y = prepare(images, draw), labels
        if mixed is not None:
            others, other_labels, share = mixed
            x, y = mix(x, y, prepare(others, draw), other_labels, share, classes)
        parts = [(x, y)]
        if config.accumulate > 1:
            parts = list(zip(x.chunk(config.accumulate), y.chunk(config.accumulate), strict=True))
        total: Any = None
        for number, (x, y) in enumerate(parts):
            alone = ranks.count > 1 and number + 1 < len(parts)  # gradients are averaged after the last part
            with network.no_sync() if alone else nullcontext():
                with _autocast(device, config.precision):
                    loss = _loss(criterion, network(x), y, graph, config) * (ranks.count / whole)
                scaler.scale(loss).backward()
            total = loss.detach() if total is None else total + loss.detach()
        if config.clip is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        if scaler.is_enabled():
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
        else:
            update()
        return total  # type: ignore[no-any-return]

    def learn_rows(rows: Tensor, draw: Tensor | None) -> Tensor:
        """The same from rows of images that lie on the device."""
        assert isinstance(train_source, Images)
        return learn(*take(train_source, rows), draw, size)

    graphed = None
    if device.type == "cuda":
        reason = why_not_graphed(config, train_source, ranks.count)
        if reason is None:
            graphed = GraphedStep(learn_rows, model, size, device, tell.message)
        else:
            tell.message(f"steps are not recorded as a CUDA graph: {reason}")

    def save() -> None:
        """A checkpoint of everything that the rest of the run depends on."""
        total = ranks.total(losses) / ranks.count
        _check_finite(model, total, at)
        if ranks.first:
            random = {"cpu": torch.get_rng_state()}
            if device.type == "cuda":
                random["cuda"] = torch.cuda.get_rng_state(device)
            state = {
                "counters": asdict(at),
                "data": data.digest,
                "model": model.state_dict(),
                "averaged": None if averaged is None else averaged.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": scaler.state_dict(),
                "losses": total,
                "random": random,
            }
            save_checkpoint(folder.checkpoints, state)

    def publish() -> None:
        """The files that people read. A run that was cut off before this writes them when it continues."""
        if not ranks.first or not at.history:
            return
        if at.best is at.history[-1]:
            _write_weights(folder, BEST, scored, at.best)
        _write_weights(folder, LAST, scored, at.history[-1])
        folder.write_metrics(at.history)

    def cut(numbers: Tensor | None, whole: int) -> Tensor | None:
        """This process's part of the numbers for the batch at the present position."""
        return None if numbers is None else numbers[at.position : at.position + whole][ranks.rank :: ranks.count]

    with closing(RunFolder(job.folder, write=ranks.first)) as folder, Signals() as signals:
        if job.resume:
            state = ranks.share(lambda: load_checkpoint(folder.checkpoints, tell.message))
            if state is not None:
                if state["data"] != data.digest:
                    raise CnnspecError(
                        f"{config.data} is not what {job.folder} began with: it has other images or labels",
                        hint="bring back the images, or start a new run",
                    )
                at = Counters(**state["counters"])
                if at.best is not None:
                    at.best = at.history[at.best["epoch"] - 1]
                model.load_state_dict(state["model"])
                optimizer.load_state_dict(state["optimizer"])
                scaler.load_state_dict(state["scaler"])
                if averaged is not None:
                    averaged.load_state_dict(state["averaged"])
                losses.copy_(state["losses"])
                torch.set_rng_state(state["random"]["cpu"])
                if device.type == "cuda" and "cuda" in state["random"]:
                    torch.cuda.set_rng_state(state["random"]["cuda"], device)
                if at.position == 0:
                    publish()
            tell.message(f"continuing after {at.step} of {steps} steps")
        elif ranks.first:
            environment = describe(device, torch.get_num_threads())
            folder.start(
                job.source, graph, job.variant, job.params, config, data.classes, environment, overwrite=job.overwrite
            )  # fmt: skip
        board = open_board(folder.path, at.step) if config.tensorboard and ranks.first else None

        for group in optimizer.param_groups if graphed is not None else ():
            group["capturable"] = True  # Adam wants to be told

        began = time.perf_counter() - at.seconds
        last_save = last_look = time.perf_counter()
        looked_at = at.epoch * count + at.position
        while at.epoch < config.epochs and not _patience_is_over(config, at):
            epoch_began = time.perf_counter()
            began_at = at.position
            order = epoch_order(data.train_rows, config.seed, at.epoch)[:count]
            numbers = epoch_numbers(count, COLUMNS, config.seed, at.epoch).to(device) if augment else None
            shares = epoch_shares(count, config.mixup, config.seed, at.epoch).to(device) if config.mixup else None
            network.train()
            part = {"start": at.position, "rank": ranks.rank, "ranks": ranks.count, "workers": config.workers}
            found: Any
            if graphed is None:
                found = batches(train_source, order, size, device, **part)
            else:
                found = batch_rows(order.to(device), at.position, size)
            partners = batches(train_source, neighbours(order, size), size, device, **part) if config.mixup else None
            for batch in found:
                whole = min(size, count - at.position)  # images of this step over all processes
                rate: Any = learning_rate(config, at.step, steps, steps_per_epoch)
                if graphed is not None:
                    rate = graphed.rate.fill_(rate)
                for group in optimizer.param_groups:
                    group["lr"] = rate
                draw = cut(numbers, whole)
                if graphed is not None:
                    loss = graphed(batch, draw)
                else:
                    images, labels = batch
                    mixed = None if partners is None else (*next(partners), cut(shares, whole))
                    loss = learn(images, labels, draw, whole, mixed)
                losses[at.position // size] = loss
                if averaged is not None:
                    _average(averaged, model, config.ema or 0.0, at.step)
                at.step += 1
                at.position += whole

                now = time.perf_counter()
                if now - last_look >= LOOK_EVERY:
                    so_far = losses[: math.ceil(at.position / size)]
                    _check_finite(None, so_far, at)
                    images_done = at.epoch * count + at.position
                    speed = (images_done - looked_at) / (now - last_look)
                    tell.step(at.epoch + 1, at.position, count, float(so_far.mean()), speed)
                    last_look, looked_at = now, images_done
                due = now - last_save >= config.checkpoint_every
                stop = signals.received
                if ranks.count > 1:
                    due, stop = _agree(ranks, due, stop, device) if at.step % AGREE_EVERY == 0 else (False, None)
                if due or stop:
                    at.seconds = now - began
                    save()
                    last_save = time.perf_counter()
                    stop = stop or (signals.received if ranks.count == 1 else None)  # it may have come meanwhile
                    if stop:
                        raise Interrupted(stop, *_farewell(at, steps, job.folder))

            trained = time.perf_counter()
            scores = evaluate(
                scored, val_source, data.val_rows, prepare, criterion, device, classes=classes,
                rank=ranks.rank, ranks=ranks.count, workers=config.workers, gather=ranks.total,
                stop=lambda: ranks.count == 1 and signals.received is not None,
            )  # fmt: skip
            if scores is None:  # the signal came now: the epoch is trained, and will be scored when the run continues
                at.seconds = time.perf_counter() - began
                save()
                raise Interrupted(signals.received or 2, *_farewell(at, steps, job.folder))
            at.seconds = time.perf_counter() - began
            total = ranks.total(losses) / ranks.count
            _check_finite(model, total, at)
            metrics = {
                "epoch": at.epoch + 1,
                "step": at.step,
                "lr": learning_rate(config, at.step - 1, steps, steps_per_epoch),
                "train_loss": _mean_loss(total, count, size),
                "val_loss": scores.loss,
                "val_accuracy": scores.accuracy,
                "seconds": round(at.seconds, 3),
                "images_per_second": round((count - began_at) / max(1e-9, trained - epoch_began), 1),
            }
            at.history.append(metrics)
            if at.best is None or _rank(metrics) > _rank(at.best):
                at.best = metrics
            at.epoch += 1
            at.position = 0
            at.first_step = at.step
            losses.zero_()
            save()
            last_save = time.perf_counter()
            publish()
            tell.epoch(metrics)
            if board is not None:
                board.write(metrics)
            _, stop = _agree(ranks, False, signals.received, device)
            if stop:
                raise Interrupted(stop, *_farewell(at, steps, job.folder))

        def finish() -> TrainResult:
            """Read the test images, once, with the best weights, and write down what came of it."""
            assert at.best is not None
            model.load_state_dict(read_weights(job.folder / BEST))
            test = None
            if data.test is not None:
                rows = torch.arange(len(data.test))
                source = to_device(data.test, device)
                test = evaluate(model, source, rows, prepare, criterion, device, classes=classes)
            result = TrainResult(
                run=str(job.folder),
                epochs=at.epoch,
                best_epoch=at.best["epoch"],
                val_loss=at.best["val_loss"],
                val_accuracy=at.best["val_accuracy"],
                test_loss=test.loss if test else None,
                test_accuracy=test.accuracy if test else None,
                test_images=test.images if test else 0,
                seconds=round(at.seconds, 3),
            )
            draw_run(job.folder, at.history, test.matrix.tolist() if test else None, data.classes)
            folder.write_result(asdict(result))
            return result

        return ranks.share(finish)  # type: ignore[no-any-return]


def _open(graph: Graph, config: TrainConfig, device: torch.device, ranks: Ranks, tell: Progress) -> DataSet:
    options = OpenOptions(
        folder=data_folder(config, os.environ),
        val_fraction=config.val_fraction,
        seed=config.seed,
        skip_bad=config.skip_bad,
        loading=config.loading,
        cache=Path(config.cache).expanduser() if config.cache else None,
        memory=image_memory(device),
        report=tell.message,
    )
    if not ranks.first:
        ranks.wait()  # one process downloads
    data = open_data(config.data, graph, options)
    if ranks.first:
        ranks.wait()
    tell.message(data.remark)
    return data


def _build(graph: Graph, config: TrainConfig, device: torch.device, *, weights: str | None) -> nn.Module:
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


def _settle(config: TrainConfig, model: nn.Module, graph: Graph, device: torch.device, ranks: Ranks) -> TrainConfig:
    """Set torch up for this run, and note in the options what was left to the machine."""
    torch.use_deterministic_algorithms(config.deterministic)
    torch.backends.cudnn.benchmark = not config.deterministic
    if config.precision == "fp16" and device.type == "cpu":
        raise UsageError("fp16 is for CUDA: the CPU is slower with it", hint="`--precision bf16`, or fp32")
    if device.type == "cpu":
        keep_freed_memory()
    threads, channels_last = config.threads, config.channels_last
    if device.type == "cpu" and ranks.count == 1:
        if threads is None or channels_last is None:
            threads, channels_last = pick_threads(model, graph.input_shape, config.batch_size, threads, channels_last)
    else:  # torchrun has divided the threads; on CUDA the layout is known to help
        threads = threads or torch.get_num_threads()
        channels_last = device.type == "cuda" if channels_last is None else channels_last
    torch.set_num_threads(threads)
    return config.model_copy(update={"threads": threads, "channels_last": channels_last})


def _autocast(device: torch.device, precision: str) -> torch.autocast | nullcontext[None]:
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16 if precision == "bf16" else torch.float16)


def _loss(
    criterion: Any, outputs: Tensor | dict[str, Tensor], labels: Tensor, graph: Graph, config: TrainConfig
) -> Any:
    """The summed loss, with that of the auxiliary heads weighted."""
    if isinstance(outputs, Tensor):
        return criterion(outputs.float(), labels)
    loss = criterion(outputs[graph.outputs[0]].float(), labels)
    for name in graph.aux_outputs:
        loss = loss + config.aux_weight * criterion(outputs[name].float(), labels)
    return loss


@torch.no_grad()
def _average(averaged: nn.Module, model: nn.Module, decay: float, step: int) -> None:
    """Move the averaged weights towards the model's; slower as the run goes on, so that the start is forgotten."""
    weight = 1 - min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(model.parameters()), weight)
    for old, new in zip(averaged.buffers(), model.buffers(), strict=True):
        old.copy_(new)


def _check_finite(model: nn.Module | None, losses: Tensor, at: Counters) -> None:
    """Raise CnnspecError that names the first step of this epoch whose loss is not finite."""
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = at.first_step + int(bad[0])
        raise CnnspecError(
            f"the loss is {float(losses[bad[0]])} at step {step + 1} (epoch {at.epoch + 1}); the best weights are"
            " those from before",
            hint="a lower `--lr`, or `--clip 1`",
        )
    if model is not None and not all(bool(tensor.isfinite().all()) for tensor in model.parameters()):
        raise CnnspecError(
            f"the weights are no longer finite after step {at.step} (epoch {at.epoch + 1})",
            hint="a lower `--lr`, or `--clip 1`",
        )


def _agree(ranks: Ranks, due: bool, stop: int | None, device: torch.device) -> tuple[bool, int | None]:
    """Whether all processes save now, and the signal that stops all of them."""
    if ranks.count == 1:
        return due, stop
    flags = ranks.agree(torch.tensor([int(due and ranks.first), stop or 0], device=device)).tolist()
    return bool(flags[0]), flags[1] or None


def _mean_loss(losses: Tensor, count: int, size: int) -> float:
    """The mean over images of the losses of steps, of which the last may have fewer images."""
    weights = torch.full_like(losses, size, dtype=torch.float64, device="cpu")
    weights[-1] = count - size * (len(losses) - 1)
    return float((losses.cpu() * weights).sum() / count)


def _rank(metrics: Mapping[str, Any]) -> tuple[float, float]:
    return metrics["val_accuracy"], -metrics["val_loss"]


def _patience_is_over(config: TrainConfig, at: Counters) -> bool:
    return config.patience is not None and at.best is not None and at.epoch - at.best["epoch"] >= config.patience


def _farewell(at: Counters, steps: int, folder: Path) -> tuple[str, str]:
    return f"stopped after {at.step} of {steps} steps; nothing is lost", f"`cnnspec train --resume {folder}` continues"


def _write_weights(folder: RunFolder, name: str, model: nn.Module, metrics: Mapping[str, Any]) -> None:
    """Weights for people and for export; their digest is noted before they take their name."""
    data = weights_bytes(model)
    folder.add_digest(name, hashlib.sha256(data).hexdigest(), metrics["epoch"])
    write_atomic(folder.path / name, data, sync=True)
