"""Eight bits: static quantisation after training, calibrated on real images and scored before and after."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.exporting.reference import onnx_run
from cnnspec.graph import Graph
from cnnspec.images import normalize
from cnnspec.onnx_backend.verify import Check
from cnnspec.runtime.session import first_line, onnxruntime
from cnnspec.scoring.samples import accuracy, open_set, some_images

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.data.sets import DataSet
    from cnnspec.exporting.pipeline import ExportOptions
    from cnnspec.exporting.subject import Subject

__all__ = ["calibration_set", "quantized"]

CALIBRATION: Final = 512  # images
BATCH: Final = 32


def calibration_set(subject: Subject, graph: Graph, options: ExportOptions, report: Callable[[str], None]) -> DataSet:
    """The labelled images to calibrate and to score with. Raises UsageError where there are none for this network."""
    name = options.calibrate or (subject.run.config.data if subject.run is not None else None)
    if name is None:
        raise UsageError("int8 needs images to calibrate with", hint="`--calibrate digits`, or a folder of images")
    if len(graph.outputs) != 1 or len(graph.output_shape) != 1 or graph.output_shape != subject.graph.output_shape:
        raise UsageError("int8 is scored by its accuracy, and this network does not give one number per class")
    config = subject.run.config if subject.run is not None else None
    return open_set(subject.graph, name, options.data_dir, report, config)


def quantized(
    data: DataSet, graph: Graph, model: onnx.ModelProto, options: ExportOptions, report: Callable[[str], None]
) -> tuple[onnx.ModelProto, list[Check], dict[str, Any]]:
    """The model in int8 (weights per channel, activations per tensor), the check of its accuracy, and both accuracies.

    Jacob et al. 2018, Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference.
    """
    batch = options.batch or BATCH
    given = model.graph.input[0].name

    def feed(images: NDArray[np.uint8]) -> NDArray[Any]:
        return images if options.preprocess else normalize(images, graph.mean, graph.std)

    def score(scored: onnx.ModelProto, shown: str) -> tuple[float, int]:
        run = onnx_run(scored.SerializeToString(), shown)
        return accuracy(lambda images: run(feed(images))[0], data, batch)

    report(f"calibrating with {min(CALIBRATION, len(data.train_rows))} images of {data.name}")
    images = some_images(data, CALIBRATION)
    whole = len(images) // batch * batch or batch
    images = images[np.arange(whole) % len(images)]
    small = _quantize(model, ({given: feed(images[at : at + batch])} for at in range(0, whole, batch)))
    before, count = score(model, f"the export of {graph.name}")
    after, _ = score(small, f"the export of {graph.name} in eight bits")
    most = options.max_drop * 100
    limit = f"at most {most:g} percentage point{'' if most == 1 else 's'} lost"
    detail = f"{before:.2%} before, {after:.2%} after, on {count:,} images of {data.name} ({limit})"
    check = Check("accuracy", before - after <= options.max_drop, detail, before - after)
    return small, [check], {"accuracy_fp32": before, "accuracy_int8": after, "calibrated_with": data.name}


def _quantize(model: onnx.ModelProto, feeds: Iterator[dict[str, NDArray[Any]]]) -> onnx.ModelProto:
    onnxruntime()
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> dict[str, NDArray[Any]] | None:
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
