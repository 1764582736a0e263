"""How good a trained network is: everything that can be said from its probabilities and the labels."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import torch
from PIL import Image
from torch import Tensor

from cnnspec.data.batches import batches
from cnnspec.data.prepare import Augment, Prepare
from cnnspec.data.sets import DataSet, ImageSet
from cnnspec.errors import UsageError
from cnnspec.runtime.predictor import Predictor
from cnnspec.scoring.samples import open_set
from cnnspec.torch_backend import build_module, load_weights
from cnnspec.training.machine import pick_device
from cnnspec.training.run_folder import Run

__all__ = ["Assessment", "ClassScore", "Mistake", "assess_model", "assess_run", "measure"]

BATCH: Final = 256
BINS: Final = 15  # of the calibration error
WORST: Final = 25  # mistakes that are kept


@dataclass(frozen=True)
class ClassScore:
    """One class: of the images called so, how many are (precision), and of those that are, how many are found."""

    name: str
    images: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for something else, with the probability of that. `row` counts within the split."""

    row: int
    true: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class Assessment:
    """The figures of a network on a set of images.

    `loss` is the mean cross-entropy, `top5` None below six classes, `calibration_error` the expected one over 15 bins
    of confidence (Guo et al. 2017), `confusion[true][predicted]` a number of images.
    """

    target: str
    data: str
    split: str
    images: int
    loss: float
    accuracy: float
    top5: float | None
    calibration_error: float
    classes: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]
    mistakes: tuple[Mistake, ...]

    def to_dict(self) -> dict[str, object]:
        """Plain data, as `--format json` prints it."""
        return {"cnnspec": 1, **asdict(self)}


def assess_run(
    run: Run, *, data: str | None = None, data_dir: str | None = None, split: str = "test", device: str = "auto",
    sheet: Path | None = None,
) -> Assessment:  # fmt: skip
    """Score the best weights of a run, on its own data unless others are named."""
    chosen = pick_device(device)
    images = open_set(
        run.graph, data or run.config.data, run.config, classes=run.classes, data_dir=data_dir or None, device=chosen
    )
    model = build_module(run.graph)
    load_weights(model, run.weights)
    model.to(chosen).eval()
    prepare = Prepare(run.graph, chosen, Augment(), torch.contiguous_format)

    def probabilities(batch: Tensor) -> Tensor:
        with torch.inference_mode():
            return model(prepare(batch)).float().softmax(1).cpu()  # type: ignore[no-any-return]

    return _assess(str(run.path), images, split, probabilities, chosen, run.config.workers, sheet)


def assess_model(
    path: str | os.PathLike[str], *, data: str, data_dir: str | None = None, split: str = "test", device: str = "auto",
    sheet: Path | None = None,
) -> Assessment:  # fmt: skip
    """Score an exported file, through the very code that `predict` runs."""
    predictor = Predictor(path, device=device, batch_size=BATCH)
    images = open_set(predictor.metadata.network().graph, data, classes=predictor.classes, data_dir=data_dir)

    def probabilities(batch: Tensor) -> Tensor:
        pictures = [_picture(image) for image in batch]
        return torch.stack([torch.from_numpy(each.probabilities) for each in predictor.stream(pictures)]).float()

    return _assess(os.fspath(path), images, split, probabilities, torch.device("cpu"), 0, sheet)


def _assess(
    target: str, data: DataSet, split: str, probabilities: Callable[[Tensor], Tensor], device: torch.device,
    workers: int, sheet: Path | None,
) -> Assessment:  # fmt: skip
    source, rows = data.val, data.val_rows
    if split == "test":
        if data.test is None:
            raise UsageError(f"{data.name} has no test images", hint="`--split val`")
        source, rows = data.test, torch.arange(len(data.test))
    guesses, labels = [], []
    for images, truth in batches(source, rows, BATCH, device, workers=workers):
        guesses.append(probabilities(images))
        labels.append(truth.cpu())
    result = measure(torch.cat(guesses), torch.cat(labels), data.classes, target=target, data=data.name, split=split)
    if sheet is not None:
        from cnnspec.training.plots import plot_mistakes

        pictures = _pick(source, rows[[mistake.row for mistake in result.mistakes]])
        plot_mistakes(list(pictures), [(m.true, m.predicted, m.probability) for m in result.mistakes], sheet)
    return result


def measure(
    probabilities: Tensor,
    labels: Tensor,
    classes: tuple[str, ...],
    *,
    target: str = "",
    data: str = "",
    split: str = "",
) -> Assessment:
    """Every figure, from probabilities `(N, classes)` and labels `(N,)`."""
    from torchmetrics.functional import classification as metrics

    count = len(classes)
    predicted = probabilities.argmax(1)
    matrix = metrics.multiclass_confusion_matrix(predicted, labels, count)
    per_class = {"num_classes": count, "average": "none"}
    precision = metrics.multiclass_precision(predicted, labels, **per_class)
    recall = metrics.multiclass_recall(predicted, labels, **per_class)
    f1 = metrics.multiclass_f1_score(predicted, labels, **per_class)
    top5 = (probabilities.topk(min(5, count), 1).indices == labels[:, None]).any(1).double().mean()
    calibration = metrics.multiclass_calibration_error(probabilities, labels, count, n_bins=BINS, norm="l1")
    truth = probabilities[torch.arange(len(labels)), labels]
    surest = probabilities[torch.arange(len(labels)), predicted]
    wrong = (predicted != labels).nonzero().squeeze(1)
    wrong = wrong[surest[wrong].argsort(descending=True, stable=True)][:WORST]
    return Assessment(
        target=target,
        data=data,
        split=split,
        images=len(labels),
        loss=float(-truth.double().clamp(min=1e-30).log().mean()),
        accuracy=float((predicted == labels).double().mean()),
        top5=float(top5) if count > 5 else None,
        calibration_error=float(calibration),
        classes=tuple(
            ClassScore(name, int(matrix[i].sum()), float(precision[i]), float(recall[i]), float(f1[i]))
            for i, name in enumerate(classes)
        ),
        confusion=tuple(tuple(row) for row in matrix.tolist()),
        mistakes=tuple(
            Mistake(row, classes[int(labels[row])], classes[int(predicted[row])], float(surest[row]))
            for row in wrong.tolist()
        ),
    )


def _picture(image: Tensor) -> Image.Image:
    """`(C, H, W)` uint8 as a Pillow image."""
    pixels = image.cpu()
    return Image.fromarray((pixels[0] if len(pixels) == 1 else pixels.permute(1, 2, 0)).numpy())


def _pick(source: ImageSet, rows: Tensor) -> Iterator[Image.Image]:
    for images, _ in batches(source, rows, 1, torch.device("cpu")):
        yield _picture(images[0])
