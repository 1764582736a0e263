"""The training loop, from top to bottom in one reading."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from cnnspec.data.batches import batch_rows, batches, take, to_device
from cnnspec.data.folder import close_streams
from cnnspec.data.order import epoch_numbers, epoch_order, epoch_shares, neighbours
from cnnspec.data.prepare import COLUMNS, Augment, Prepare, mix
from cnnspec.data.sets import Images
from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.spec import Source
from cnnspec.torch_backend import read_weights, weights_bytes
from cnnspec.training.board import open_board
from cnnspec.training.checkpoint import load_checkpoint, save_checkpoint
from cnnspec.training.config import TrainConfig
from cnnspec.training.counters import Counters, check_finite, farewell, mean_loss, merit, patience_is_over
from cnnspec.training.criterion import average_weights, keep_still, make_loss, make_optimizer, make_update
from cnnspec.training.distributed import Ranks, agree, is_lost_peer, join_ranks, leave_ranks
from cnnspec.training.evaluate import evaluate
from cnnspec.training.graphed import GraphedStep, why_not_graphed
from cnnspec.training.machine import describe, pick_device
from cnnspec.training.memory import is_out_of_memory, too_large
from cnnspec.training.plots import draw_run
from cnnspec.training.progress import Progress, Silent
from cnnspec.training.run_folder import BEST, CHECKPOINTS, LAST, RunFolder, best_fault, best_weights
from cnnspec.training.schedule import learning_rate
from cnnspec.training.signals import Interrupted, Signals
from cnnspec.training.start import build_network, check_origin, check_parts, open_images, origin, settle
from cnnspec.training.state import RunState

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
        if "DataLoader worker" in str(error):
            raise CnnspecError(
                f"a process that decodes images has ended: {str(error).splitlines()[0]}",
                hint=f"`cnnspec train --resume {job.folder}` continues; fewer `workers` in its config.yaml save memory",
            ) from error
        if not is_out_of_memory(error):
            raise
    finally:
        close_streams()
    raise too_large(job.graph, job.config.batch_size, device)


def _train(job: Job, tell: Progress, device: torch.device, ranks: Ranks) -> TrainResult:
    config, graph = job.config, job.graph
    if ranks.first and job.folder.exists():
        RunFolder(job.folder).close()  # where another process has it, say so before reading images
    data = open_images(graph, config, device, ranks, tell)
    train_source = to_device(data.train, device)
    val_source = train_source if data.val is data.train else to_device(data.val, device)
    torch.manual_seed(config.seed)
    begun = job.resume and any((job.folder / CHECKPOINTS).glob("*.pt"))
    model = build_network(graph, config, device, weights=None if begun else config.weights)
    check_parts(model, graph, config, len(data.train_rows), device, ranks)
    config = settle(config, model, graph, device, ranks, len(data.train_rows), tell)
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
    steps = (steps_per_epoch := math.ceil(count / size)) * config.epochs
    began_with = origin(job.source.text, job.variant, job.params, graph, config, data)
    losses = torch.zeros(steps_per_epoch, device=device)  # of this epoch's steps, kept on the device
    changing = RunState(model, averaged, optimizer, scaler, losses, device)
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
        total: Tensor | None = None
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
        assert total is not None  # there is a part at least
        return total

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
        check_finite(model, total, at)
        if ranks.first:
            save_checkpoint(folder.checkpoints, changing.collect(at, total, began_with))

    def publish() -> None:
        """The files that people read. A run that was cut off before this writes them when it continues."""
        if not ranks.first or not at.history:
            return
        if at.best is at.history[-1]:
            folder.write_weights(BEST, weights_bytes(scored), at.epoch)
        folder.write_weights(LAST, weights_bytes(scored), at.epoch)
        folder.write_metrics(at.history)

    def cut(numbers: Tensor | None, whole: int) -> Tensor | None:
        """This process's part of the numbers for the batch at the present position."""
        return None if numbers is None else numbers[at.position : at.position + whole][ranks.rank :: ranks.count]

    with RunFolder(job.folder, write=ranks.first) as folder, Signals() as signals:
        if job.resume:
            state = ranks.share(lambda: load_checkpoint(folder.checkpoints, tell.message))
            if state is not None:
                check_origin(state["origin"], began_with, job.folder)
                at = changing.restore(state)
                if at.best is not None and (at.position or at.best is not at.history[-1]):  # else they are written now
                    fault = ranks.share(lambda: best_fault(job.folder))
                    if fault is not None:
                        tell.message(f"{fault}; the best of the epochs from the last on takes its place")
                        at.best = at.history[-1] if at.position == 0 else None
                if at.position == 0:
                    publish()
            if ranks.first:
                folder.write_config(job.source, graph, job.variant, job.params, config)
            if at.epoch >= config.epochs or patience_is_over(config, at):
                tell.message(f"all {at.step} steps are done")
            else:
                tell.message(f"continuing after {at.step} of {steps} steps")
                folder.clear_result()
        elif ranks.first:
            environment = describe(device, torch.get_num_threads())
            folder.start(
                job.source, graph, job.variant, job.params, config, data.classes, environment, overwrite=job.overwrite
            )  # fmt: skip
        board = open_board(folder.path, at) if config.tensorboard and ranks.first else None

        for group in optimizer.param_groups if graphed is not None else ():
            group["capturable"] = True  # Adam wants to be told

        began = time.perf_counter() - at.seconds
        last_save = last_look = time.perf_counter()
        looked_at = at.epoch * count + at.position
        while at.epoch < config.epochs and not patience_is_over(config, at):
            epoch_began = time.perf_counter()
            began_at = at.position
            order = epoch_order(data.train_rows, config.seed, at.epoch)[:count]
            numbers = epoch_numbers(count, COLUMNS, config.seed, at.epoch).to(device) if augment else None
            shares = epoch_shares(count, config.mixup, config.seed, at.epoch).to(device) if config.mixup else None
            network.train()
            keep_still(model, config.freeze)
            part = {"start": at.position, "rank": ranks.rank, "ranks": ranks.count, "workers": config.workers}
            found: Any
            if graphed is None:
                found = batches(train_source, order, size, device, **part)
            else:
                found = batch_rows(order.to(device), at.position, size)
            partners: Any = None
            if config.mixup and ranks.count > 1:  # another process has the next image
                partners = batches(train_source, neighbours(order, size), size, device, **part)
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
                    mixed = None
                    if config.mixup:
                        others = next(partners) if partners else (images.roll(-1, 0), labels.roll(-1))
                        mixed = (*others, cut(shares, whole))
                    loss = learn(images, labels, draw, whole, mixed)
                losses[at.position // size] = loss
                if averaged is not None:
                    average_weights(averaged, model, config.ema or 0.0, at.step)
                at.step += 1
                at.position += whole

                now = time.perf_counter()
                if now - last_look >= LOOK_EVERY:
                    so_far = losses[: math.ceil(at.position / size)]
                    check_finite(None, so_far, at)
                    images_done = at.epoch * count + at.position
                    speed = (images_done - looked_at) / (now - last_look)
                    tell.step(at.epoch + 1, config.epochs, at.position, count, float(so_far.mean()), speed)
                    last_look, looked_at = now, images_done
                due, stop = now - last_save >= config.checkpoint_every, signals.received
                if ranks.count > 1:
                    due, stop = agree(ranks, due, stop, device) if at.step % AGREE_EVERY == 0 else (False, None)
                if due or stop:
                    at.seconds = now - began
                    save()
                    last_save = time.perf_counter()
                    stop = stop or (signals.received if ranks.count == 1 else None)  # it may have come meanwhile
                    if stop:
                        raise Interrupted(stop, *farewell(at, steps, job.folder))

            trained = time.perf_counter()
            scores = evaluate(
                scored, val_source, data.val_rows, prepare, criterion, device, classes=classes,
                rank=ranks.rank, ranks=ranks.count, workers=config.workers, gather=ranks.total,
                stop=lambda: ranks.count == 1 and signals.received is not None,
            )  # fmt: skip
            if scores is None:  # the signal came now: the epoch is trained, and will be scored when the run continues
                at.seconds = time.perf_counter() - began
                save()
                raise Interrupted(signals.received or 2, *farewell(at, steps, job.folder))
            at.seconds = time.perf_counter() - began
            total = ranks.total(losses) / ranks.count
            check_finite(model, total, at)
            metrics = {
                "epoch": at.epoch + 1,
                "step": at.step,
                "lr": learning_rate(config, at.step - 1, steps, steps_per_epoch),
                "train_loss": mean_loss(total, count, size),
                "val_loss": scores.loss,
                "val_accuracy": scores.accuracy,
                "seconds": round(at.seconds, 3),
                "images_per_second": round((count - began_at) / max(1e-9, trained - epoch_began), 1),
            }
            at.history.append(metrics)
            if at.best is None or merit(metrics) > merit(at.best):
                at.best = metrics
            at.epoch, at.position, at.first_step = at.epoch + 1, 0, at.step
            losses.zero_()
            save()
            last_save = time.perf_counter()
            publish()
            tell.epoch(metrics)
            if board is not None:
                board.write(metrics)
            _, stop = agree(ranks, False, signals.received, device)
            if stop:
                raise Interrupted(stop, *farewell(at, steps, job.folder))

        def finish() -> TrainResult:
            """Read the test images, once, with the best weights, and write down what came of it."""
            assert at.best is not None
            model.load_state_dict(read_weights(best_weights(job.folder)))
            source, rows = val_source, data.val_rows  # for the confusion matrix, where there are no test images
            if data.test is not None:
                source, rows = to_device(data.test, device), torch.arange(len(data.test))
            final = evaluate(
                model, source, rows, prepare, criterion, device,
                classes=classes, workers=config.workers, stop=lambda: signals.received is not None,
            )  # fmt: skip
            if final is None:
                raise Interrupted(signals.received or 2, *farewell(at, steps, job.folder))
            test = None if data.test is None else final
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
            draw_run(job.folder, at.history, final.matrix.tolist(), data.classes)
            folder.write_result(asdict(result))
            return result

        return ranks.share(finish)  # type: ignore[no-any-return]


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
