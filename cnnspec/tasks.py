"""What a network is for: what it is taught, which losses and figures fit, and how its outputs become answers.

Everything else decides by the values here. `training/objectives/` has the arithmetic of each task's loss and figures,
and `runtime/answers.py` what people read. Nothing here imports torch, or any other module of the package.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, TypeAlias, get_args

__all__ = [
    "CLASSES", "DEFAULT_IGNORE", "FIGURES", "MASK_SIZES", "TASKS", "TASK_NAMES", "Answers", "Figure",
    "TargetKind", "Task", "TaskName", "TaskOptions", "figure_texts", "figures_line", "followed_task", "misfit",
]  # fmt: skip

TaskName: TypeAlias = Literal["classification", "multi-label", "regression", "segmentation"]
TASK_NAMES: Final[tuple[TaskName, ...]] = get_args(TaskName)

# What the network is taught of one input: the number of its class, int64 `()`; which of the classes it has, float32
# `(classes,)` of 0 and 1; numbers, float32 `(numbers,)`; or a class for every place, uint8 or int64 `(*axes)`.
TargetKind: TypeAlias = Literal["class", "labels", "numbers", "mask"]

DEFAULT_IGNORE: Final = 255  # in a mask, where there is no class
# How large pictures of masks are: as the image that they are of, or as what the network gives.
MASK_SIZES: Final = ("photo", "network")

Sizes: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of how good a network is: its key in files, what people call it, and whether it is a share."""

    key: str
    title: str
    share: bool = True
    told: bool = True  # after every epoch

    def show(self, value: float | None) -> str:
        """The value as people read it; a figure that is not defined, as of no images, is a dash."""
        if value is None:
            return "-"
        return f"{value:.2%}" if self.share else f"{value:.4g}"

    def named(self, value: float | None) -> str:
        """The value with what it is; an accuracy is what a bare share is taken for."""
        return self.show(value) if self.key == "accuracy" else f"{self.title} {self.show(value)}"


@dataclass(frozen=True, slots=True)
class Task:
    """A task. Of `figures` the first chooses the best epoch, the higher the better; of `losses` it is the default."""

    name: TaskName
    target: TargetKind
    taught: str  # what the network is taught of one input, for messages
    output: str  # what it gives, for messages
    losses: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def best(self) -> Figure:
        """The figure by which the best epoch is chosen."""
        return self.figures[0]

    @property
    def has_classes(self) -> bool:
        """Whether its outputs are of classes, each with a name."""
        return self.target != "numbers"


TASKS: Final[dict[TaskName, Task]] = {
    task.name: task
    for task in (
        Task(
            "classification", "class", "one class", "a vector, a number for each class",
            ("cross-entropy", "squared-error"),
            (Figure("accuracy", "accuracy"), Figure("top5", "top-5 accuracy", told=False)),
        ),
        Task(
            "multi-label", "labels", "which of the classes it has", "a vector, a number for each class",
            ("binary-cross-entropy",),
            (Figure("map", "mAP"), Figure("f1", "F1")),
        ),
        Task(
            "regression", "numbers", "numbers", "a vector of numbers",
            ("squared-error", "absolute-error", "huber"),
            (Figure("r2", "R²", share=False), Figure("mae", "MAE", share=False)),
        ),
        Task(
            "segmentation", "mask", "a class for every place", "a map, a channel for each class",
            ("cross-entropy", "dice", "cross-entropy+dice"),
            (Figure("miou", "mIoU"), Figure("pixel_accuracy", "pixel accuracy")),
        ),
    )
}  # fmt: skip


# Every figure by its key, which no two tasks share.
FIGURES: Final = {figure.key: figure for task in TASKS.values() for figure in task.figures}


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """A task as a spec says it. `ignore` is of segmentation; `numbers` are the names of what is regressed."""

    name: TaskName
    ignore: int | None = None
    numbers: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class Answers:
    """How the outputs of a trained network are read, as its run and its exported files keep it.

    A regressed number is `output * std + mean`, in its unit. A label is given where its probability is at least its
    threshold. `ignore` is what stands in masks where there is no class.
    """

    task: TaskName = "classification"
    numbers: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    ignore: int | None = None

    def names(self, count: int) -> tuple[str, ...]:
        """The names of the `count` numbers that are regressed."""
        if len(self.numbers) == count:
            return self.numbers
        return ("number",) if count == 1 else tuple(f"number {place}" for place in range(count))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, without what is not said."""
        return {key: value for key, value in asdict(self).items() if value not in ((), None)}

    @classmethod
    def keys(cls) -> tuple[str, ...]:
        """What `to_dict` may have."""
        return tuple(field.name for field in fields(cls))


CLASSES: Final = Answers()  # the class of the highest score


def followed_task(options: TaskOptions | None, output: Sizes, classes: tuple[str, ...]) -> Task | None:
    """The task that a spec says, or that follows from the shape of its output; None where it has to be said.

    A vector is classification, and a map with `classes` segmentation.
    """
    if options is not None:
        return TASKS[options.name]
    if len(output) == 1:
        return TASKS["classification"]
    return TASKS["segmentation"] if classes and len(output) > 1 else None


def misfit(options: TaskOptions, source: Sizes, output: Sizes) -> str | None:
    """Why a network that reads `source` and gives `output` cannot have this task, if it cannot."""
    shown = "x".join(map(str, output))
    if options.name == "segmentation":
        if len(output) != len(source) or len(output) < 2:
            return f"a class for every place wants a map with the input's axes, but the output is {shown}"
        if output[0] < 2:
            return f"a class for every place wants a channel for each class, two at least, but the output is {shown}"
        return None
    if len(output) != 1:
        return f"{options.name} wants a vector, but the output is {shown}"
    for what, names in (("numbers", options.numbers), ("units", options.units)):
        if names and len(names) != output[0]:
            return f"`{what}` of `task` names {len(names)}, but the output has {output[0]} values"
    return None


def figure_texts(figures: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """What figures are called and their values, as people read them, by their keys."""
    return [(FIGURES[key].title, FIGURES[key].show(value)) for key, value in figures.items()]


def figures_line(figures: Mapping[str, float | None]) -> str:
    """Figures in one line, by their keys: `mIoU  93.10%  pixel accuracy  98.02%`."""
    told = {key: value for key, value in figures.items() if FIGURES[key].told}
    return "  ".join(f"{title} {text:>7}" for title, text in figure_texts(told))
