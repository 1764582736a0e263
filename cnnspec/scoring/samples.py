"""Real images to compare on, to calibrate with and to score."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.graph import Graph
from cnnspec.tasks import Answers
from cnnspec.training import TrainConfig, resolve_config
from cnnspec.training.config import data_folder
from cnnspec.training.run_folder import Run

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from cnnspec.data.given import Given
    from cnnspec.data.sets import DataSet

__all__ = ["best_figure", "labelled", "open_set", "pick", "real_images", "some_images"]

SAMPLES: Final = 256  # images that a comparison looks at
_FOLDERS: Final = {  # where torchvision keeps a downloaded set
    "mnist": "MNIST",
    "fashion-mnist": "FashionMNIST",
    "kmnist": "KMNIST",
    "emnist": "EMNIST",
    "svhn": "train_32x32.mat",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "stl10": "stl10_binary",
}


def open_set(
    graph: Graph,
    data: str | Given,
    config: TrainConfig | None = None,
    *,
    classes: tuple[str, ...] = (),
    data_dir: str | None = None,
    skip_bad: bool = False,
    max_pixels: int | None = None,
    device: torch.device | None = None,
    report: Callable[[str], None] = lambda text: None,
) -> DataSet:
    """The data set `data` for this network, split as in the run with this `config`, to be scored on `device`.

    `classes` are those that the network tells apart, where it is trained: images are matched to them by name.
    Raises UsageError and CnnspecError as training does.
    """
    with needs_extra("train"):
        import torch

        from cnnspec.data.open import open_data
        from cnnspec.training.start import data_options
    config = config or TrainConfig()
    given = {"data_dir": data_dir, "skip_bad": skip_bad or None, "max_pixels": max_pixels}
    config = resolve_config(("the run", config.model_dump()), ("the options", given))
    options = data_options(config, device or torch.device("cpu"), report)
    return open_data(data, graph, replace(options, classes=classes))


def real_images(run: Run) -> NDArray[np.uint8] | None:
    """Images that a run was trained on, `(N, H, W, C)`; None where they are not on this machine."""
    config = run.config
    folder = _FOLDERS.get(config.data)
    if folder is not None and not (data_folder(config, os.environ) / folder).exists():
        return None
    try:
        images = some_images(open_set(run.graph, run.locate_data(), config), SAMPLES)
        return images if images.dtype == np.uint8 else None
    except CnnspecError:  # moved away since, or no longer readable: noise has to do
        return None


def some_images(data: DataSet, count: int) -> NDArray[np.uint8]:
    """Up to `count` images of the training part, spread over all of it: `(N, H, W, C)`."""
    import torch

    from cnnspec.data.batches import batches

    step = max(1, len(data.train_rows) // count)
    rows = data.train_rows[::step][:count]
    return _last(torch.cat([images for images, _ in batches(data.train, rows, 64, torch.device("cpu"))]))


def labelled(data: DataSet, batch: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[Any]]]:
    """The evaluation set, `(N, *axes, C)` and targets: the test images, or else the validation images."""
    import torch

    from cnnspec.data.batches import batches

    source = data.test if data.test is not None else data.val
    rows = torch.arange(len(source)) if data.test is not None else data.val_rows
    for images, labels in batches(source, rows, batch, torch.device("cpu")):
        yield _last(images), labels.numpy()


def pick(data: DataSet, label: int | None, index: int) -> tuple[NDArray[np.uint8], int, str]:
    """One image of the evaluation set, of a class or of all: `(H, W, C)`, its label, and its place in words.

    Raises UsageError where there are not as many.
    """
    import torch

    from cnnspec.data.batches import batches

    source, split = (data.test, "test") if data.test is not None else (data.val, "validation")
    rows = torch.arange(len(source)) if data.test is not None else data.val_rows
    if data.task.target != "class":
        raise UsageError(f"a step is told of one class of an image, and {data.name} teaches {data.task.taught}")
    labels = source.targets[rows]
    of_class = rows if label is None else rows[labels == label]
    if index >= len(of_class):
        what = f"{len(of_class):,} {split} images" + ("" if label is None else f" of class {data.classes[label]}")
        raise UsageError(f"{data.name} has {what}, and number {index} is none of them", hint="they count from 0")
    row = of_class[index : index + 1]
    ((images, found),) = batches(source, row, 1, torch.device("cpu"))
    return _last(images)[0], int(found[0]), f"{split} image {int((rows == row).nonzero())}"


def best_figure(
    run: Callable[[NDArray[np.uint8]], NDArray[np.float32]], data: DataSet, answers: Answers, batch: int
) -> tuple[float | None, int]:
    """The first figure of the task on the evaluation set, and the set's size. `run` gives outputs for whole batches."""
    import torch

    from cnnspec.training.objectives.choose import scoring_objective

    objective, total = scoring_objective(data, answers), 0
    noted: list[torch.Tensor] = []
    for images, targets in labelled(data, batch):
        padding = np.zeros((batch - len(images), *images.shape[1:]), np.uint8)
        outputs = torch.from_numpy(run(np.concatenate([images, padding]))[: len(targets)])
        noted.append(objective.note(outputs, torch.from_numpy(targets)))
        total += len(targets)
    whole = torch.stack(noted).sum(0) if objective.adds else torch.cat(noted)
    return objective.figures(whole)[objective.task.best.key], total


def _last(images: torch.Tensor) -> NDArray[np.uint8]:
    """Channels last, as files have them."""
    return np.ascontiguousarray(images.movedim(1, -1).numpy())
