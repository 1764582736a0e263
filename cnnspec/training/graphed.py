"""On CUDA, whole training steps recorded once and replayed: one launch instead of some hundred for each.

For small networks launching the kernels takes longer than running them. What is recorded has fixed memory, so the
inputs of a step are copied into the tensors that it was recorded with.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

from cnnspec.data.sets import Images, ImageSet
from cnnspec.training.config import TrainConfig
from cnnspec.training.learner import Recorder, Steps
from cnnspec.training.memory import is_out_of_memory
from cnnspec.training.plan import Plan

__all__ = ["GraphedSteps", "cuda_recorder", "why_not_graphed"]

_WARM_UP: Final = 3  # steps that run as they are, before one is recorded: libraries set themselves up in them


def why_not_graphed(config: TrainConfig, source: ImageSet, device: torch.device, processes: int) -> str | None:
    """What keeps the steps of a run on CUDA from being recorded, in a few words; None where nothing does."""
    kept = isinstance(source, Images) and not source.mapped and source.images.device == device
    reasons = {
        "switched off": not config.cuda_graph,
        "the images are streamed": not kept,
        "several processes": processes > 1,
        "batches in parts": config.accumulate > 1,
        "mixup": config.mixup > 0,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def cuda_recorder(plan: Plan, model: nn.Module, report: Callable[[str], None]) -> Recorder | None:
    """What makes a recorded step of a plain one; None where steps run as they are, of which `report` hears on CUDA."""
    if plan.device.type != "cuda":
        return None
    reason = why_not_graphed(plan.config, plan.train, plan.device, plan.ranks.count)
    if reason is not None:
        report(f"steps are not recorded as a CUDA graph: {reason}")
        return None
    return partial(GraphedSteps, model=model, device=plan.device, report=report)


class GraphedSteps:
    """Calls `steps`, and from the fourth call with rows of this shape on replays what it recorded.

    Rows of another shape run as they are. Where recording fails, `report` hears why, and all of them do.
    """

    def __init__(
        self,
        steps: Steps,
        shape: tuple[int, int],
        model: nn.Module,
        device: torch.device,
        report: Callable[[str], None],
    ) -> None:
        self.steps, self.model, self.shape, self.report = steps, model, shape, report
        self.graph: torch.cuda.CUDAGraph | None = None
        self.possible = True
        self.warm = 0
        self.stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.rows = self.rates = self.losses = torch.empty(0)  # until steps are recorded
        self.numbers: Tensor | None = None

    def __call__(self, rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        if rows.shape != self.shape or not self.possible:
            return self.steps(rows, numbers, rates)
        if self.warm < _WARM_UP:
            self.warm += 1
            run = self._beside if self.warm < _WARM_UP else self._watched
            return run(rows, numbers, rates)
        if self.graph is None and not self._record(rows, numbers, rates):
            return self.steps(rows, numbers, rates)
        assert self.graph is not None
        self.rows.copy_(rows)
        self.rates.copy_(rates)
        if self.numbers is not None and numbers is not None:
            self.numbers.copy_(numbers)
        self.graph.replay()
        return self.losses

    def _beside(self, rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        """Steps on the stream that will record, as torch's notes on CUDA graphs want it."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            losses = self.steps(rows, numbers, rates)
        torch.cuda.current_stream().wait_stream(self.stream)
        return losses

    def _watched(self, rows: Tensor, numbers: Tensor | None, rates: Tensor) -> Tensor:
        """The last steps before the recorded ones. They must not wait for the device: that would break a recording."""
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                losses = self._beside(rows, numbers, rates)
            finally:
                torch.cuda.set_sync_debug_mode(before)
        waits = [warning for warning in said if "called a synchronizing CUDA operation" in str(warning.message)]
        for warning in said:
            if warning not in waits and "debug mode" not in str(warning.message):
                warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        if waits:
            where = f"{Path(waits[0].filename).name}, line {waits[0].lineno}"
            self._give_up(f"a step waits for the device ({where})")
        return losses

    def _give_up(self, reason: str) -> None:
        self.possible = False
        self.report(f"steps are not recorded as a CUDA graph: {reason}")

    def _record(self, rows: Tensor, numbers: Tensor | None, rates: Tensor) -> bool:
        """Record steps, which do not run by that. Gives back whether it worked."""
        self.rows, self.rates = rows.clone(), rates.clone()
        self.numbers = None if numbers is None else numbers.clone()
        graph = torch.cuda.CUDAGraph()
        before = torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=self.stream):
                self.losses = self.steps(self.rows, self.numbers, self.rates)
        except RuntimeError as error:
            torch.cuda.set_stream(before)  # torch leaves its own behind where the end of a recording fails
            self.model.zero_grad(set_to_none=True)
            cause = _cause(error)
            short = isinstance(cause, RuntimeError) and is_out_of_memory(cause)
            self._give_up("memory ran out" if short else (str(cause).strip() or type(cause).__name__).splitlines()[0])
        if not self.possible:
            torch.cuda.empty_cache()  # what the recording had
            return False
        self.graph = graph
        return True


def _cause(error: BaseException) -> BaseException:
    """What went wrong first: the end of a recording fails too, and torch tells only of that."""
    while error.__context__ is not None:
        error = error.__context__
    return error
