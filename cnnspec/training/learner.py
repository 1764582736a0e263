"""What learns: the network with everything that an update reads or changes, and that update, plain or recorded."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Final, TypedDict, cast

import torch
from torch import Tensor, nn

from cnnspec.data.batches import take
from cnnspec.data.loaders import LoaderPool
from cnnspec.data.prepare import Prepare, mix
from cnnspec.data.sets import Images, ImageSet
from cnnspec.torch_backend import check_state
from cnnspec.training.criterion import (
    average_weights,
    eval_frozen,
    freeze,
    load_optimizer,
    make_optimizer,
    make_update,
    set_rate,
)
from cnnspec.training.device import arithmetic
from cnnspec.training.evaluate import Scores, Scoring, evaluate
from cnnspec.training.feed import Batch, RowBatch
from cnnspec.training.objectives.choose import make_objective
from cnnspec.training.plan import Plan
from cnnspec.training.process import random_state, set_random_state

__all__ = ["Learner", "LearnerState", "RecordedSteps", "Recorder", "Steps"]

# From rows `(K, B)`, what augmentation does with them and learning rates `(K,)` to the losses `(K,)` of K updates.
Steps = Callable[[Tensor, Tensor | None, Tensor], Tensor]
RecordedSteps = Steps  # that were recorded once and are replayed; the losses of every replay lie in one tensor
Recorder = Callable[[Steps, tuple[int, int]], RecordedSteps]  # of rows of this shape

_NO_RATES: Final = torch.zeros(1)  # where nothing is learned


class LearnerState(TypedDict):
    """All that training changes, but for the counters, as tensors and plain values."""

    model: dict[str, Tensor]
    averaged: dict[str, Tensor] | None
    optimizer: dict[str, object]
    scaler: dict[str, object]
    random: dict[str, Tensor]


class Learner:
    """Model, averaged weights, optimizer and loss of a run."""

    def __init__(self, plan: Plan, model: nn.Module, loaders: LoaderPool, record: Recorder | None = None) -> None:
        """`model` is on the plan's device. With `record`, steps are those that it makes of the plain one."""
        config, device = plan.config, plan.device
        self.plan, self.model, self.loaders = plan, model.to(memory_format=plan.layout), loaders
        self.averaged = copy.deepcopy(model).requires_grad_(False) if config.ema else None
        self.optimizer = make_optimizer(config, model, device)
        self.update_weights = make_update(config, self.optimizer)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
        self.objective = make_objective(config, plan.data, plan.job.network.graph.task_options, device)
        self.criterion = self.objective.loss
        ignore = plan.data.ignore if plan.data.task.target == "mask" else None
        self.prepare = Prepare(plan.job.network.graph, device, plan.augment, plan.layout, ignore)
        self.autocast = partial(arithmetic, device, config.precision)
        self.scoring = Scoring(self.scored, self.prepare, self.criterion, self.objective, device)
        self.record = record
        self.recorded: RecordedSteps | None = None
        self.recorded_scoring: RecordedSteps | None = None
        if record is not None and isinstance(plan.val, Images) and plan.val.images.device == device:
            self.recorded_scoring = record(self._score_rows, (1, plan.scored_at_once))
        self.right = torch.zeros(min(config.batch_size, plan.count), dtype=torch.int64, device=device)
        self._shares: dict[int, Tensor] = {}
        self._frozen: frozenset[str] | None = None
        self.hold_still(0)
        self._mark_capturable()

    @property
    def scored(self) -> nn.Module:
        """The network that is evaluated and published."""
        return self.model if self.averaged is None else self.averaged

    @property
    def recognised(self) -> Tensor:
        """How many images this process has recognised while it trained on them, `()`, since it was last set.

        A step counts for each place of the batch by itself, which spares it a sum.
        """
        return self.right.sum()

    @recognised.setter
    def recognised(self, count: Tensor | int) -> None:
        self.right.zero_()[0] = count

    def begin_epoch(self, epoch: int = 0) -> None:
        """Turn to training, in an epoch from 0; frozen layers stay as in inference."""
        self.hold_still(epoch)
        self.network.train()
        eval_frozen(self.model, self._frozen or ())

    def hold_still(self, epoch: int) -> None:
        """Freeze what is frozen in an epoch, from 0, and nothing else.

        Where that is other than before, what has been made of the network is made anew: processes average the gradients
        of the parameters that they began with, and a recorded step has those that it was recorded with.
        """
        plan = self.plan
        frozen = plan.config.freezing.at(plan.job.network.graph, epoch)
        if frozen == self._frozen:
            return
        self._frozen = frozen
        freeze(self.model, frozen)
        self.network = plan.ranks.wrap(self.model, plan.device, sync_norm=plan.config.sync_norm)
        self.no_sync: Callable[[], AbstractContextManager[None]] = nullcontext
        if isinstance(self.network, nn.parallel.DistributedDataParallel):
            self.no_sync = self.network.no_sync  # type: ignore[no-untyped-call,unused-ignore]
        if plan.config.compile:
            self.network = cast(nn.Module, torch.compile(self.network))
        if self.record is not None:
            self.recorded = self.record(self._learn_rows, (plan.steps_per_graph, plan.config.batch_size))

    def step(self, batch: Batch | RowBatch, step: int) -> Tensor:
        """Update number `step`, from 0, or as many from there on as there are batches of rows.

        Gives back this process's share of the mean loss of each, `(K,)`, on the device. Where steps are recorded the
        losses are to be read before the next ones.
        """
        if isinstance(batch, Batch):
            self._set_rate(self.plan.learning_rate(step))
            losses = self._learn(batch).view(1)
        else:
            losses = (self.recorded or self._learn_rows)(batch.rows, batch.numbers, batch.rates)
        if self.averaged is not None:
            average_weights(self.averaged, self.model, self.plan.config.ema or 0.0, step)
        return losses

    def validate(self, stop: Callable[[], bool]) -> Scores | None:
        """Score the network on the validation images, over all processes. None where `stop` said so."""
        ranks, recorded = self.plan.ranks, self.recorded_scoring
        return evaluate(
            self.scoring, self.plan.val, self.plan.data.val_rows, size=self.plan.scored_at_once,
            recorded=None if recorded is None else lambda rows: recorded(rows[None], None, _NO_RATES),
            rank=ranks.rank, ranks=ranks.count, workers=self.plan.workers, stop=stop, gather=ranks.total,
            loaders=self.loaders,
        )  # fmt: skip

    def evaluate_weights(
        self, weights: dict[str, Tensor], source: ImageSet, rows: Tensor, stop: Callable[[], bool]
    ) -> Scores | None:
        """Score these weights, by this process alone. None where `stop` said so. The model keeps them."""
        self.model.load_state_dict(weights)
        scoring = Scoring(self.model, self.prepare, self.criterion, self.objective, self.plan.device)
        return evaluate(
            scoring, source, rows, size=self.plan.scored_at_once, workers=self.plan.workers, stop=stop,
            loaders=self.loaders,
        )  # fmt: skip

    def state(self) -> LearnerState:
        """Everything that the rest of the run depends on."""
        return {
            "model": self.model.state_dict(),
            "averaged": None if self.averaged is None else self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": random_state(self.plan.device),
        }

    def load_state(self, state: LearnerState, epoch: int = 0) -> None:
        """Put back what `state` gave in an epoch, from 0: layers that were frozen in it have no state of the optimizer.

        Raises CnnspecError, or what torch raises, where it is not of this network.
        """
        self.hold_still(epoch)
        for module, saved in ((self.model, state["model"]), (self.averaged, state["averaged"])):
            if module is not None:
                check_state(module, saved or {}, "the checkpoint")
                module.load_state_dict(saved or {}, strict=False)
        load_optimizer(self.optimizer, state["optimizer"], self.model, self.plan.job.network.graph)
        self.scaler.load_state_dict(state["scaler"])
        set_random_state(state["random"], self.plan.device)

    def go_on_after(self, steps: int) -> None:
        """Have the learning rate of the last step, which is saved again where no step follows."""
        if steps:
            self._set_rate(self.plan.learning_rate(steps - 1))

    def _mark_capturable(self) -> None:
        """Adam wants to know that its steps are recorded on CUDA."""
        if self.recorded is not None and self.plan.device.type == "cuda":
            for group in self.optimizer.param_groups:
                group["capturable"] = True

    def _learn(self, batch: Batch) -> Tensor:
        """One update as it is."""
        x, y = self.prepare(batch.images, batch.numbers), self.prepare.targets(batch.targets, batch.numbers)
        if batch.partners is not None:
            others = batch.partners
            x, y = mix(
                x, y, self.prepare(others.images, batch.numbers), others.targets, others.shares,
                len(self.plan.data.classes),
            )  # fmt: skip
        return self._learn_inputs(x, y, batch.size)

    def _learn_rows(self, rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        """One update for each batch of rows of images that lie on the device; see `Steps`."""
        assert isinstance(self.plan.train, Images)
        losses = []
        for step, batch in enumerate(rows.unbind()):
            self._set_rate(rates[step])  # a tensor: as a number it would be recorded
            images, targets = take(self.plan.train, batch)
            varied = None if numbers is None else numbers[step]
            x, y = self.prepare(images, varied), self.prepare.targets(targets, varied)
            losses.append(self._learn_inputs(x, y, len(batch)))
        return torch.stack(losses) if len(losses) > 1 else losses[0].view(1)

    def _score_rows(self, rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        """What `scoring` says of one batch of rows; in the form of `Steps`, to be recorded as they are."""
        assert isinstance(self.plan.val, Images)
        return self.scoring(*take(self.plan.val, rows[0]))

    def _set_rate(self, rate: float | Tensor) -> None:
        set_rate(self.optimizer, rate)

    def _learn_inputs(self, x: Tensor, y: Tensor, size: int) -> Tensor:
        """One update from inputs `(B, C, *axes)` and targets, of a batch of `size` images over all processes."""
        parts = [(x, y)]
        count = self.plan.config.accumulate
        if count > 1:
            parts = list(zip(x.chunk(count), y.chunk(count), strict=True))
        total: Tensor | None = None
        share = self._share(size)
        for number, (inputs, targets) in enumerate(parts):
            last = number + 1 == len(parts)  # then gradients are averaged over the processes
            with nullcontext() if last else self.no_sync():
                with self.autocast():
                    loss = self._loss(self.network(inputs), targets)
                self.scaler.scale(loss).backward(share)  # type: ignore[no-untyped-call]
            mean = loss.detach() * share
            total = mean if total is None else total + mean
        self._update()
        assert total is not None  # there is a part at least
        return total

    def _share(self, size: int) -> Tensor:
        """What makes of a summed loss its part of the mean of `size` images, and of its gradient likewise, `()`.

        Kept from step to step: a backward pass that starts from it launches neither the 1 nor the product.
        """
        if size not in self._shares:
            self._shares[size] = torch.tensor(self.plan.ranks.count / size, device=self.plan.device)
        return self._shares[size]

    def _update(self) -> None:
        """Move the weights by their gradients, and forget these."""
        clip = self.plan.config.clip
        if clip is not None:
            self.scaler.unscale_(self.optimizer)
            nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        if self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad(set_to_none=True)
        else:
            self.update_weights()

    def _loss(self, outputs: Tensor | dict[str, Tensor], targets: Tensor) -> Tensor:
        """The summed loss, with that of the auxiliary heads weighted. What is recognised is counted by the way."""
        if isinstance(outputs, Tensor):
            self._count_right(outputs, targets)
            return self.criterion(outputs.float(), targets)
        graph = self.plan.job.network.graph
        self._count_right(outputs[graph.outputs[0]], targets)
        loss = self.criterion(outputs[graph.outputs[0]].float(), targets)
        for name in graph.aux_outputs:
            loss = loss + self.plan.config.aux_weight * self.criterion(outputs[name].float(), targets)
        return loss

    def _count_right(self, outputs: Tensor, targets: Tensor) -> None:
        """Add up what is recognised, on the device: reading it would make the device and the program meet."""
        recognised = self.objective.recognised(outputs.detach(), targets)
        if recognised is not None:
            self.right[: len(targets)].add_(recognised)
