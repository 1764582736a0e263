"""Real images to compare on, to calibrate with and to score."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.errors import CnnspecError, MissingExtraError
from cnnspec.graph import Graph
from cnnspec.training import TrainConfig, resolve_config
from cnnspec.training.config import data_folder
from cnnspec.training.run_folder import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.data.sets import DataSet

__all__ = ["accuracy", "labelled", "open_set", "real_images", "some_images"]

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
    graph: Graph, data: str, data_dir: str | None, report: Callable[[str], None], config: TrainConfig | None = None
) -> DataSet:
    """The data set `data` for this network, split as in the run with this `config`.

    Raises UsageError and CnnspecError as training does.
    """
    try:
        import torch

        from cnnspec.data.open import open_data
        from cnnspec.training.start import data_options
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "train") from None
    config = config or TrainConfig()
    config = resolve_config(("the run", config.model_dump()), ("--data-dir", {"data_dir": data_dir}))
    return open_data(data, graph, data_options(config, torch.device("cpu"), report))


def real_images(run: Run) -> NDArray[np.uint8] | None:
    """Images that a run was trained on, `(N, H, W, C)`; None where they are not on this machine."""
    config = run.config
    place = _FOLDERS.get(config.data)
    here = (data_folder(config, os.environ) / place).exists() if place else True
    if not here:
        return None
    try:
        return some_images(open_set(run.graph, config.data, None, lambda text: None, config), SAMPLES)
    except CnnspecError:  # moved away since, or no longer readable: noise has to do
        return None


def some_images(data: DataSet, count: int) -> NDArray[np.uint8]:
    """Up to `count` images of the training part, spread over all of it: `(N, H, W, C)`."""
    import torch

    from cnnspec.data.batches import batches

    step = max(1, len(data.train_rows) // count)
    rows = data.train_rows[::step][:count]
    found = [images for images, _ in batches(data.train, rows, 64, torch.device("cpu"))]
    return _last(torch.cat(found))


def labelled(data: DataSet, batch: int) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The evaluation set, `(N, H, W, C)` and labels: the test images, or else the validation images."""
    import torch

    from cnnspec.data.batches import batches

    source = data.test if data.test is not None else data.val
    rows = torch.arange(len(source)) if data.test is not None else data.val_rows
    for images, labels in batches(source, rows, batch, torch.device("cpu")):
        yield _last(images), labels.numpy()


def accuracy(run: Callable[[NDArray[np.uint8]], NDArray[Any]], data: DataSet, batch: int) -> tuple[float, int]:
    """The share of the evaluation set that is recognised, and its size. `run` gives scores for whole batches."""
    right = total = 0
    for images, labels in labelled(data, batch):
        padding = np.zeros((batch - len(images), *images.shape[1:]), np.uint8)
        scores = run(np.concatenate([images, padding]))[: len(labels)]
        right += int((scores.argmax(1) == labels).sum())
        total += len(labels)
    return right / max(1, total), total


def _last(images: Any) -> NDArray[np.uint8]:
    """Channels last, as files have them."""
    return np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())
