"""What keeps a run: its folder, its counters and checkpoints, and the signals that end it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

import torch
from torch import Tensor

from cnnspec.data.batches import to_device
from cnnspec.data.sets import ImageSet
from cnnspec.errors import CnnspecError
from cnnspec.torch_backend import kind_fault, read_weights, weights_bytes
from cnnspec.training.board import Board, open_board
from cnnspec.training.checkpoint import RunState, check_content, load_checkpoint, save_checkpoint, snapshot
from cnnspec.training.counters import Counters, check_finite, mean_loss
from cnnspec.training.device import image_memory, synchronize
from cnnspec.training.distributed import agree
from cnnspec.training.evaluate import Scores
from cnnspec.training.job import TrainResult
from cnnspec.training.learner import Learner
from cnnspec.training.machine import describe
from cnnspec.training.metrics import EpochMetrics, merit
from cnnspec.training.plan import Plan, check_origin
from cnnspec.training.plots import plot_run
from cnnspec.training.progress import Progress
from cnnspec.training.run_weights import BEST, LAST, best_fault, best_weights, manifest_fault
from cnnspec.training.run_writer import RunFolder
from cnnspec.training.signals import Interrupted, Signals
from cnnspec.training.write_behind import WriteBehind

__all__ = ["Keeper", "keep"]

LOOK_EVERY: Final = 1.0  # seconds between two looks at the loss, which make the device and the program meet
AGREE_EVERY: Final = 8  # steps between two agreements of several processes on saving and stopping


@contextmanager
def keep(plan: Plan, learner: Learner, progress: Progress) -> Iterator[Keeper]:
    """The run in the plan's folder, started or resumed.

    Raises UsageError where there is a run that is not to be touched or another process writes it, and CnnspecError
    where it is not the run that it was or its files cannot be read or written.
    """
    with RunFolder(plan.job.folder, write=plan.ranks.first) as folder, Signals() as signals, WriteBehind() as writer:
        keeper = Keeper(plan, learner, progress, folder, signals, writer)
        keeper.resume() if plan.resuming else keeper.start()
        yield keeper


class Keeper:
    """Counts, saves, publishes and ends a run."""

    def __init__(
        self,
        plan: Plan,
        learner: Learner,
        progress: Progress,
        folder: RunFolder,
        signals: Signals,
        writer: WriteBehind,
    ) -> None:
        self.plan, self.learner, self.progress = plan, learner, progress
        self.folder, self.signals, self.writer = folder, signals, writer
        self.counters = Counters()
        self.losses = torch.zeros(plan.steps_per_epoch, device=plan.device)  # of this epoch's steps
        self.counted = True  # what is recognised in this epoch, from its first image on
        self.stopped = False  # by a listener
        self.board: Board | None = None
        now = time.perf_counter()
        self.began = self.epoch_began = self.last_step = self.last_save = self.last_look = now
        self.began_at = 0  # images of the epoch that were done when this process took it up
        self.looked_at = 0  # images of the run that were done at the last look

    @property
    def over(self) -> bool:
        """Whether no epoch is left, too many have gone by without a better one, or a listener has asked to stop."""
        config, counters = self.plan.config, self.counters
        if self.stopped or counters.epoch >= config.epochs:
            return True
        best = counters.best
        return config.patience is not None and best is not None and counters.epoch - best.epoch >= config.patience

    @property
    def interrupted(self) -> bool:
        """Whether a signal wants this process to stop. Several processes agree on it at the end of an epoch."""
        return self.plan.ranks.count == 1 and self.signals.received is not None

    def start(self) -> None:
        """Begin the run, in a folder that no other run has or may keep."""
        plan = self.plan
        if plan.ranks.first:
            environment = describe(plan.device, torch.get_num_threads())
            answers, start = self.learner.objective.answers, plan.start
            self.folder.start(
                plan.job, plan.config, plan.data.place, plan.data.classes, environment, answers,
                None if start is None else start.to_dict(),
            )  # fmt: skip
        self._begin()

    def resume(self) -> None:
        """Put back the newest good checkpoint, and write what a cut-off run had no time to write."""
        plan = self.plan
        state: RunState | None = plan.ranks.share(
            lambda: load_checkpoint(self.folder.checkpoints, self.progress.message)
        )
        if (fault := plan.ranks.share(lambda: manifest_fault(plan.job.folder))) is not None:
            self.progress.message(f"{fault}; it is made anew")
        if state is not None:
            self._load(state)
            self._replace_lost_best()
            if self.counters.position == 0:
                self.writer.give(*self._published())
        if plan.ranks.first:
            self.folder.write_config(plan.job, plan.config, plan.data.place)
        if self.over:
            self.progress.message(f"all {self.counters.step} steps are done")
        else:
            self.progress.message(f"continuing after {self.counters.step} of {plan.steps} steps")
            self.folder.clear_result()
        self._begin()

    def _load(self, state: RunState) -> None:
        """Take up what a checkpoint holds. Raises CnnspecError where it is of another run, or none that can go on."""
        try:
            check_content(state)
            check_origin(state["origin"], self.plan.origin, self.plan.job.folder)
            done = state["counters"]
            self.learner.load_state(state, max(0, done["epoch"] - (done["position"] == 0)))
            if state["losses"].shape != self.losses.shape or kind_fault(state["losses"], self.losses):
                raise ValueError("its losses are not those of an epoch")
            self.losses.copy_(state["losses"])
            self.counters = Counters.from_record(state["counters"])
            self.learner.go_on_after(self.counters.step)
            self.counted = "right" in state or self.counters.position == 0
            if "right" in state and self.plan.ranks.first:
                if state["right"].ndim or kind_fault(state["right"], self.learner.right):
                    raise ValueError("its count of images is none")
                self.learner.recognised = state["right"]
            position, count = self.counters.position, self.plan.count
            if position > count or (position % self.plan.config.batch_size and position != count):
                raise ValueError(f"an epoch of {count} images cannot be cut at {position}")
        except (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CnnspecError(
                f"the checkpoint of {self.plan.job.folder} does not fit the run: {reason:.200}",
                hint="start the run again with `--overwrite`",
            ) from error

    def _begin(self) -> None:
        """Start the clocks."""
        counters = self.counters
        if self.plan.ranks.first and self.plan.duplicates:
            test, inputs = len(self.plan.data.test or ()), self.plan.data.inputs
            self.progress.message(f"{self.plan.duplicates:,} of {test:,} test {inputs} are training {inputs} too")
        if self.plan.config.tensorboard and self.plan.ranks.first:
            self.board = open_board(self.folder.path, counters)
        self.last_save = self.last_look = time.perf_counter()
        self.began = self.last_save - counters.seconds
        self.looked_at = counters.epoch * self.plan.count + counters.position

    def _replace_lost_best(self) -> None:
        """Where the weights of the best epoch are damaged, let the best of the epochs from the last on be it."""
        counters = self.counters
        if counters.best is None or (counters.position == 0 and counters.best is counters.history[-1]):
            return  # there are none, or they are written now
        fault = self.plan.ranks.share(lambda: best_fault(self.plan.job.folder))
        if fault is not None:
            self.progress.message(f"{fault}; the best of the epochs from the last on takes its place")
            counters.best = counters.history[-1] if counters.position == 0 else None

    def begin_epoch(self) -> None:
        """Note where the epoch is taken up, for its speed."""
        self.epoch_began = self.last_step = time.perf_counter()
        self.began_at = self.counters.position
        thawed = self.plan.config.freezing.thawed(self.counters.epoch)
        if thawed and not self.began_at:
            self.progress.message(f"trained from epoch {self.counters.epoch + 1} on: {', '.join(thawed)}")

    def after_step(self, losses: Tensor, size: int) -> None:
        """Count the steps of these losses on `size` images, and look, save or stop where it is time for that.

        Raises Interrupted after a signal, and CnnspecError where a loss was not finite or the save fails.
        """
        counters, ranks = self.counters, self.plan.ranks
        first = counters.position // self.plan.config.batch_size
        self.losses[first : first + len(losses)] = losses
        counters.step += len(losses)
        counters.position += size
        now = time.perf_counter()
        if now - self.last_look >= LOOK_EVERY:
            self._look(now)
        due, signal = now - self.last_save >= self.plan.config.checkpoint_every, self.signals.received
        if ranks.count > 1:
            decide = counters.step % AGREE_EVERY == 0
            due, signal = agree(ranks, due, signal) if decide else (False, None)
        if due or signal:
            counters.seconds = now - self.began
            self._save()
            signal = signal or (self.signals.received if ranks.count == 1 else None)  # it may have come meanwhile
            if signal:
                raise self._interruption(signal)

    def end_steps(self) -> None:
        """Note when the device has done what it was asked for in this epoch."""
        synchronize(self.plan.device)
        self.last_step = time.perf_counter()

    def end_epoch(self, scores: Scores | None) -> None:
        """Save and publish the epoch that was trained, with its scores; None where a signal came meanwhile.

        Raises as `after_step`.
        """
        plan, counters = self.plan, self.counters
        counters.seconds = time.perf_counter() - self.began
        if scores is None:  # the epoch is trained, and will be scored when the run continues
            self._save()
            raise self._interruption(self.signals.received or 2)
        total = plan.ranks.total(self.losses) / plan.ranks.count
        check_finite(self.learner.model, total, counters)
        right = int(plan.ranks.total(self.learner.recognised))
        metrics = EpochMetrics(
            epoch=counters.epoch + 1,
            step=counters.step,
            lr=plan.learning_rate(counters.step - 1),
            train_loss=mean_loss(total, plan.count, plan.config.batch_size),
            train_accuracy=right / plan.count if self.counted and "accuracy" in scores.figures else None,
            val_loss=scores.loss,
            figures=dict(scores.figures),
            seconds=round(counters.seconds, 3),
            images_per_second=round((plan.count - self.began_at) / max(1e-9, self.last_step - self.epoch_began), 1),
            inputs=plan.data.inputs,
        )
        counters.history.append(metrics)
        if counters.best is None or merit(metrics) > merit(counters.best):
            counters.best = metrics
        counters.epoch, counters.position, counters.first_step = counters.epoch + 1, 0, counters.step
        self.losses.zero_()
        self.learner.recognised = 0
        self.counted = True
        self._save(*self._published())
        asked = bool(self.progress.epoch(metrics))
        if self.board is not None:
            self.board.write(metrics)
        self.stopped, signal = agree(plan.ranks, asked, self.signals.received)
        if signal:
            raise self._interruption(signal)

    def finish(self) -> TrainResult:
        """Read the test images, once, with the best weights, and write down what came of the run.

        Raises Interrupted after a signal: the run is trained then, and is finished when it continues.
        """
        plan, counters, folder = self.plan, self.counters, self.plan.job.folder
        data = plan.data
        best = counters.best
        assert best is not None  # a run has an epoch
        self.writer.wait()
        source, rows = plan.val, data.val_rows  # for the pictures, where there are no test images
        if data.test is not None:
            source, rows = to_device(data.test, plan.device, image_memory(plan.device)), torch.arange(len(data.test))
        weights, objective = read_weights(best_weights(folder)), self.learner.objective
        if objective.settles:
            objective.settle(self._scored(weights, plan.val, data.val_rows).noted)
            self.folder.write_answers(objective.answers)
        scores = self._scored(weights, source, rows)
        test = None if data.test is None else scores
        result = TrainResult(
            run=str(folder),
            task=data.task.name,
            epochs=counters.epoch,
            best_epoch=best.epoch,
            val_loss=best.val_loss,
            val=best.figures,
            train_accuracy=best.train_accuracy,
            test_loss=test.loss if test else None,
            test=test.figures if test else dict.fromkeys(scores.figures),
            test_images=test.images if test else 0,
            test_duplicates=self.plan.duplicates,
            seconds=round(counters.seconds, 3),
            inputs=data.inputs,
        )
        plot_run(folder, counters.history, objective, scores.noted, data.classes)
        self.folder.write_result(result)
        return result

    def _scored(self, weights: dict[str, Tensor], source: ImageSet, rows: Tensor) -> Scores:
        """These images scored with these weights. Raises Interrupted after a signal."""
        scores = self.learner.evaluate_weights(weights, source, rows, lambda: self.signals.received is not None)
        if scores is None:
            raise self._interruption(self.signals.received or 2)
        return scores

    def _look(self, now: float) -> None:
        """Read this epoch's losses from the device, and say how far the run is."""
        plan, counters = self.plan, self.counters
        losses = self.losses[: math.ceil(counters.position / plan.config.batch_size)]
        check_finite(None, losses, counters)
        seen = counters.epoch * plan.count + counters.position
        speed = (seen - self.looked_at) / (now - self.last_look)
        self.progress.step(
            counters.epoch + 1, plan.config.epochs, counters.position, plan.count, float(losses.mean()), speed
        )
        self.last_look, self.looked_at = now, seen

    def _save(self, *after: Callable[[], object]) -> None:
        """A checkpoint of everything that the rest of the run depends on, and `after` it what may only then be written.

        It is written while the run goes on, from copies. Raises CnnspecError where a loss was not finite, or where the
        one before could not be written.
        """
        plan = self.plan
        losses = plan.ranks.total(self.losses) / plan.ranks.count
        right = plan.ranks.total(self.learner.recognised)
        check_finite(self.learner.model, losses, self.counters)
        self.writer.wait()  # so that there is one copy at a time
        if plan.ranks.first:
            state: RunState = {
                **self.learner.state(), "counters": self.counters.record(), "origin": plan.origin, "losses": losses,
                "right": right,
            }  # fmt: skip
            self.writer.give(partial(save_checkpoint, self.folder.checkpoints, snapshot(state)), *after)
        self.last_save = time.perf_counter()

    def _published(self) -> Iterator[Callable[[], None]]:
        """What writes the files that people read. A run that was cut off before this does so when it continues."""
        counters, folder = self.counters, self.folder
        if not self.plan.ranks.first or not counters.history:
            return
        names = (BEST, LAST) if counters.best is counters.history[-1] else (LAST,)
        yield partial(folder.write_weights, names, weights_bytes(self.learner.scored), counters.epoch)
        yield partial(folder.write_metrics, tuple(counters.history))

    def _interruption(self, signal: int) -> Interrupted:
        """The error for a signal that ends the run, with the way to continue. Raises CnnspecError as `_save`."""
        self.writer.wait()
        return Interrupted(
            signal,
            f"stopped after {self.counters.step} of {self.plan.steps} steps; nothing is lost",
            f"`cnnspec train --resume {self.plan.job.folder}` continues",
        )
