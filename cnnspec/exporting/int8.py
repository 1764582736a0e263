"""Eight bits: static quantisation after training, calibrated on real images and scored before and after."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx

from cnnspec.arrays import check_bytes
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.exporting.draft import Draft, Rounding
from cnnspec.exporting.reference import onnx_run
from cnnspec.images import normalize
from cnnspec.onnx_backend.quantized import check_quantization
from cnnspec.onnx_backend.verify import Check, check_structure
from cnnspec.runtime.session import first_line, onnxruntime
from cnnspec.scoring.samples import best_figure, open_set, some_images
from cnnspec.tasks import TASKS, Figure

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.data.sets import DataSet
    from cnnspec.exporting.options import Quantization
    from cnnspec.onnx_backend.verify import Pixels

    Feeds = Iterator[dict[str, NDArray[np.float32] | Pixels]]  # by the input's name, one batch each

__all__ = ["Calibration", "open_calibration", "quantize"]

CALIBRATION: Final = 512  # images
BATCH: Final = 32


@dataclass(frozen=True)
class Calibration:
    """The labelled images that a network is calibrated with and scored on, and what it may lose."""

    data: DataSet
    max_drop: float  # of the figure that the task is judged by


def open_calibration(draft: Draft, quantization: Quantization, report: Callable[[str], None]) -> Calibration:
    """The images for this network. Raises UsageError where there are none, or it is not known what it is for."""
    subject, graph = draft.subject, draft.subject.network.graph
    config = subject.run.config if subject.run is not None else None
    name = quantization.data or (subject.run.locate_data("--calibrate") if subject.run is not None else None)
    if name is None:
        raise UsageError("int8 needs images to calibrate with", hint="`--calibrate digits`, or a folder of images")
    if draft.answers is None or len(draft.graph.outputs) != 1 or draft.graph.outputs != graph.outputs:
        raise UsageError(
            "int8 is scored by what the network is for, and of these outputs that is not known",
            hint="`task` in the spec says it" if draft.graph.outputs == graph.outputs else None,
        )
    classes = subject.classes if subject.run is not None else ()
    data = open_set(
        graph, name, config, classes=classes, data_dir=quantization.data_dir, skip_bad=quantization.skip_bad,
        report=report,
    )  # fmt: skip
    return Calibration(data, quantization.max_drop)


def quantize(draft: Draft, calibration: Calibration, report: Callable[[str], None]) -> Draft:
    """The draft in int8: weights per channel, activations per tensor. Raises VerificationError where it costs too much.

    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference.
    """
    graph, lowering, data = draft.graph, draft.options.lowering, calibration.data
    batch = lowering.batch or BATCH

    def feed(images: Pixels) -> NDArray[np.float32] | Pixels:
        return images if lowering.preprocess else normalize(images, graph.mean, graph.std)

    answers = draft.answers
    assert answers is not None  # or there would be no calibration

    def score(model: onnx.ModelProto, shown: str) -> tuple[float, int]:
        run = onnx_run(model.SerializeToString(), shown)
        value, count = best_figure(lambda images: run(feed(images))[0], data, answers, batch)
        if value is None:
            figure = TASKS[answers.task].best.title
            raise CnnspecError(f"{data.name} has no {figure}: its {count:,} {data.inputs} are too few, or all alike")
        return value, count

    report(f"calibrating with {min(CALIBRATION, len(data.train_rows))} {data.inputs} of {data.name}")
    images = some_images(data, CALIBRATION)
    if lowering.preprocess:
        check_bytes(images, "an export with `--preprocess`")
    whole = len(images) // batch * batch or batch
    images = images[np.arange(whole) % len(images)]
    name = draft.model.graph.input[0].name
    model = _quantize(draft.model, ({name: feed(images[start : start + batch])} for start in range(0, whole, batch)))
    before, count = score(draft.model, f"the export of {graph.name}")
    after, _ = score(model, f"the export of {graph.name} in eight bits")
    figure = TASKS[answers.task].best
    small = replace(draft, model=model, rounding=Rounding(figure.key, before, after, data.name))
    return small.checked(
        replace(check_structure(model), name="onnx.checker, int8"),
        check_quantization(model, draft.visible_graph),
        _check_figure(figure, before, after, f"{count:,} {data.inputs} of {data.name}", calibration.max_drop),
    )


def _check_figure(figure: Figure, before: float, after: float, images: str, max_drop: float) -> Check:
    """Whether at most `max_drop` of the figure is lost."""
    most = max_drop * 100
    limit = (
        f"at most {most:g} percentage point{'' if most == 1 else 's'} lost" if figure.share else f"{max_drop:g} lost"
    )
    detail = f"{figure.show(before)} before, {figure.show(after)} after, on {images} ({limit})"
    return Check(figure.title, before - after <= max_drop, detail, before - after)


def _quantize(model: onnx.ModelProto, feeds: Feeds) -> onnx.ModelProto:
    """The model in eight bits. Raises CnnspecError where onnxruntime cannot do it."""
    onnxruntime()
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[np.float32] | Pixels] | None:
            return next(feeds, None)

    level = logging.root.manager.disable
    logging.disable(logging.WARNING)  # advice for people who call it by hand
    try:
        copied = onnx.ModelProto()
        copied.CopyFrom(model)  # the quantiser moves the weights of what it is given into a file
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "int8.onnx"
            quantization.quantize_static(
                copied,
                path,
                Reader(),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QInt8,
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
            )
            return onnx.load(path)
    except Exception as error:  # onnxruntime's errors have no common base below Exception
        raise CnnspecError(f"onnxruntime cannot quantise the network: {first_line(error)}") from None
    finally:
        logging.disable(level)
