"""How good a trained network is: a run or an exported file, judged on the images of a data set."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from PIL import Image

from cnnspec.arrays import check_bytes, normalised
from cnnspec.data.classes import VAL_FOLDERS, match_classes
from cnnspec.errors import CnnspecError, MissingExtraError, UsageError, needs_extra
from cnnspec.graph import Graph
from cnnspec.runtime.answers import Prediction, activated
from cnnspec.runtime.predictor import Predictor
from cnnspec.runtime.sources import expand
from cnnspec.scoring.class_figures import Assessment, measure
from cnnspec.scoring.figures import TaskAssessment
from cnnspec.scoring.samples import open_set
from cnnspec.training.run_folder import Run

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from cnnspec.data.given import Given
    from cnnspec.data.sets import DataSet, ImageSet

__all__ = ["Judged", "assess_folder", "assess_model", "assess_run", "judge_run"]

BATCH: Final = 256


@dataclass(frozen=True)
class Judged:
    """What a network says of each image of a split: `probabilities` `(N, classes)` and true `labels` `(N,)`.

    `rows` are where the images stand in `source`.
    """

    target: str
    data: DataSet
    split: str
    source: ImageSet
    rows: Tensor
    probabilities: NDArray[np.float32]
    labels: NDArray[np.int64]

    def measured(self) -> Assessment:
        """Every figure."""
        paths = [str(self.source.paths[row]) for row in self.rows.tolist()] if self.source.paths else None
        return measure(
            self.probabilities, self.labels, self.data.classes, target=self.target, data=self.data.name,
            split=self.split, paths=paths,
        )  # fmt: skip

    def pictures(self, places: Sequence[int]) -> Iterator[Image.Image]:
        """The images at these places of the split."""
        return _pick(self.source, self.rows[list(places)])


def assess_run(
    run: Run, *, data: str | Given | None = None, data_dir: str | None = None, split: str = "test",
    skip_bad: bool = False, max_pixels: int | None = None, device: str = "auto", sheet: Path | None = None,
) -> Assessment | TaskAssessment:  # fmt: skip
    """Score the best weights of a run, on its own data unless others are named."""
    opened = _open_run(run, data, data_dir, skip_bad=skip_bad, max_pixels=max_pixels, device=device)
    if run.task.target == "class":
        return _assess(_judge_opened(run, opened, split), sheet)
    from cnnspec.scoring.of_tasks import assess_outputs

    return assess_outputs(
        opened.outputs, run.answers, opened.images, split, target=str(run.path),
        workers=opened.workers, sheet=sheet,
    )  # fmt: skip


@dataclass(frozen=True)
class _Opened:
    """A run's network on a device, and the images that it is scored on."""

    images: DataSet
    model: Callable[[Tensor], Tensor]  # of images as the data set has them, on the device
    device: torch.device
    workers: int

    def outputs(self, batch: Tensor) -> Tensor:
        """What the network gives for images as the data set has them, float32 on the CPU."""
        import torch

        with torch.inference_mode():
            return self.model(batch.to(self.device)).float().cpu()


def judge_run(
    run: Run, *, data: str | Given | None = None, data_dir: str | None = None, split: str = "test",
    skip_bad: bool = False, max_pixels: int | None = None, device: str = "auto",
) -> Judged:  # fmt: skip
    """What the best weights of a classifier's run say of each image. Raises UsageError for a run of another task."""
    if run.task.target != "class":
        raise UsageError(f"{run.path} was trained for {run.task.name}, and what is told here is of classes of images")
    opened = _open_run(run, data, data_dir, skip_bad=skip_bad, max_pixels=max_pixels, device=device)
    return _judge_opened(run, opened, split)


def _judge_opened(run: Run, opened: _Opened, split: str) -> Judged:
    return _judge(
        str(run.path), opened.images, split, lambda batch: opened.outputs(batch).softmax(1), opened.device,
        opened.workers,
    )  # fmt: skip


def _open_run(
    run: Run, data: str | Given | None, data_dir: str | None, *, skip_bad: bool, max_pixels: int | None, device: str
) -> _Opened:
    with needs_extra("train"):
        import torch
    from cnnspec.data.prepare import Augment, Prepare
    from cnnspec.torch_backend import build_module, load_weights
    from cnnspec.training.device import pick_device
    from cnnspec.training.machine import pick_workers

    chosen = pick_device(device)
    name, config = data or run.locate_data(), run.config
    images = open_set(
        run.graph, name, config, classes=run.classes, data_dir=data_dir or None, skip_bad=skip_bad,
        max_pixels=max_pixels, device=chosen,
    )  # fmt: skip
    model = build_module(run.graph)
    load_weights(model, run.weights)
    model.to(chosen).eval()
    prepare = Prepare(run.graph, chosen, Augment(), torch.contiguous_format)

    return _Opened(images, lambda batch: model(prepare(batch)), chosen, pick_workers(run.config.workers))


def assess_model(
    path: str | os.PathLike[str], *, data: str | Given, data_dir: str | None = None, split: str = "test",
    skip_bad: bool = False, max_pixels: int | None = None, device: str = "auto", sheet: Path | None = None,
) -> Assessment | TaskAssessment:  # fmt: skip
    """Score an exported file, through the very code that `predict` runs. Without torch, on a folder alone."""
    try:
        with needs_extra("train"):
            import torch
    except MissingExtraError:
        if not isinstance(data, str) or not Path(data).is_dir() or sheet is not None:  # drawn with what the extra has
            raise
        return assess_folder(path, data=data, split=split, skip_bad=skip_bad, max_pixels=max_pixels, device=device)
    predictor = Predictor(path, device=device, batch_size=BATCH)
    graph = predictor.metadata.network().graph
    images = open_set(
        graph, data, classes=predictor.classes, data_dir=data_dir, skip_bad=skip_bad, max_pixels=max_pixels
    )

    raw = _raw(predictor, graph)
    if predictor.answers.task != "classification":
        from cnnspec.scoring.of_tasks import assess_outputs

        return assess_outputs(raw, predictor.answers, images, split, target=os.fspath(path), workers=0, sheet=sheet)

    def probabilities(batch: Tensor) -> Tensor:
        given = raw(batch).numpy()
        known = predictor.metadata.output_kind == "probabilities"
        return torch.from_numpy(activated(predictor.answers, given, probabilities=known))

    return _assess(_judge(os.fspath(path), images, split, probabilities, torch.device("cpu"), 0), sheet)


def _raw(predictor: Predictor, graph: Graph) -> Callable[[Tensor], Tensor]:
    """What an exported file gives for images as a data set has them."""
    import torch

    def outputs(batch: Tensor) -> Tensor:
        values = batch.numpy()
        if predictor.metadata.bytes_last:
            check_bytes(values, predictor.path)
            inputs = np.ascontiguousarray(np.moveaxis(values, 1, -1))
        else:
            inputs = normalised(values, graph.mean, graph.std)
        return torch.from_numpy(next(iter(predictor.run(inputs).values()))).float()

    return outputs


def assess_folder(
    path: str | os.PathLike[str], *, data: str, split: str = "test", skip_bad: bool = False,
    max_pixels: int | None = None, device: str = "auto",
) -> Assessment:  # fmt: skip
    """Score an exported file without torch, on a folder that says itself which images are for what.

    That is `DATA/test/CLASS/*`, or `DATA/val/CLASS/*` for the split `val`. Raises UsageError for any other.
    """
    names = ("test",) if split == "test" else VAL_FOLDERS
    folder = next((place for place in (Path(data, name) for name in names) if place.is_dir()), None)
    if folder is None:
        raise UsageError(
            f"without torch a file is scored on a folder with {names[0]}/CLASS/ in it, and {data} is none",
            hint="pip install 'cnnspec[train]' brings the data sets, and splits a folder as training does",
        )
    predictor = Predictor(path, device=device, batch_size=BATCH, max_pixels=max_pixels)
    if predictor.answers.task != "classification":
        raise UsageError(
            f"{os.fspath(path)} is for {predictor.answers.task}, which is scored with torch",
            hint="pip install 'cnnspec[train]' brings what scores it",
        )
    places = sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    classes, numbers = match_classes(str(folder), tuple(places), predictor.classes)
    labels = {
        str(image): label
        for place, label in zip(places, numbers, strict=True)
        for image in expand([str(folder / place)])
    }
    answers = predictor.stream(labels, on_error=(lambda error: None) if skip_bad else None)
    guesses = [each for each in answers if isinstance(each, Prediction)]
    if not guesses:
        raise CnnspecError(f"{folder} holds no image that can be read")
    paths = [guess.source for guess in guesses]
    probabilities = np.stack([guess.probabilities for guess in guesses])
    truth = np.array([labels[path] for path in paths])
    return measure(
        probabilities, truth, classes, target=os.fspath(path), data=Path(data).resolve().name, split=split, paths=paths
    )


def _judge(
    target: str, data: DataSet, split: str, probabilities: Callable[[Tensor], Tensor], device: torch.device,
    workers: int,
) -> Judged:  # fmt: skip
    import torch

    from cnnspec.data.batches import batches

    source, rows = data.val, data.val_rows
    if split == "test":
        if data.test is None:
            raise UsageError(f"{data.name} has no test images", hint="`--split val`")
        source, rows = data.test, torch.arange(len(data.test))
    guesses, labels = [], []
    for images, truth in batches(source, rows, BATCH, device, workers=workers):
        guesses.append(probabilities(images))
        labels.append(truth.cpu())
    return Judged(target, data, split, source, rows, torch.cat(guesses).numpy(), torch.cat(labels).numpy())


def _assess(judged: Judged, sheet: Path | None) -> Assessment:
    result = replace(judged.measured(), inputs=judged.data.inputs)
    if sheet is not None:
        from cnnspec.training.plots import plot_mistakes

        pictures = judged.pictures([mistake.row for mistake in result.mistakes])
        plot_mistakes(list(pictures), [(m.true, m.predicted, m.probability, m.path) for m in result.mistakes], sheet)
    return result


def _pick(source: ImageSet, rows: Tensor) -> Iterator[Image.Image]:
    import torch

    from cnnspec.data.batches import batches
    from cnnspec.scoring.pictured import as_pixels

    for images, _ in batches(source, rows, 1, torch.device("cpu")):
        pixels = as_pixels(images[0].numpy())
        yield Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
