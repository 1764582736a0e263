"""Checks of an ONNX file that lies on the disk, whoever wrote it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import onnx

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.exporting.file_answers import answers_of, check_answers, recorded
from cnnspec.exporting.in_torch import why_not_compared
from cnnspec.exporting.proof import batches_for, compare_classes
from cnnspec.exporting.reference import beside_torch, onnx_run
from cnnspec.exporting.rows import check_rows
from cnnspec.exporting.subject import ends_in_softmax
from cnnspec.graph import Graph
from cnnspec.images import normalize
from cnnspec.onnx_backend.fold import folded_graph
from cnnspec.onnx_backend.lower import lower, select_outputs
from cnnspec.onnx_backend.metadata import Metadata, read_metadata
from cnnspec.onnx_backend.options import Lowering
from cnnspec.onnx_backend.quantized import check_quantization, without_quantization
from cnnspec.onnx_backend.recover import recover_weights
from cnnspec.onnx_backend.same import STEP, check_nodes, check_weights
from cnnspec.onnx_backend.verify import (
    Check,
    Comparison,
    check_numbers,
    check_shapes,
    check_structure,
    opset_of,
    unchecked,
)
from cnnspec.runtime.files import ModelFile, open_model
from cnnspec.scoring.samples import best_figure, open_set, real_images
from cnnspec.tasks import CLASSES, TASKS, Answers

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from onnx import ModelProto

    from cnnspec.data.sets import DataSet
    from cnnspec.exporting.subject import Subject, Weights
    from cnnspec.onnx_backend.verify import Pixels

__all__ = ["VerifyResult", "verify_file"]

SAME: Final = 0.001  # how far a figure may be from the one in the file: another machine rounds differently


@dataclass(frozen=True)
class VerifyResult:
    """What was checked about a file."""

    path: str
    against: str | None  # what it was compared with
    opset: int
    precision: str | None  # None: not exported by cnnspec
    checks: tuple[Check, ...]

    def __repr__(self) -> str:
        failed = [check.name for check in self.checks if not check.passed]
        return f"<VerifyResult {self.path}: {len(self.checks)} checks, failed: {', '.join(failed) or 'none'}>"

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, object]:
        """The result as plain data."""
        return {
            "cnnspec": 1,
            "path": self.path,
            "against": self.against,
            "opset": self.opset,
            "precision": self.precision,
            "passed": self.passed,
            "checks": [check.to_dict() for check in self.checks],
        }


@dataclass(frozen=True)
class _File:
    """A file that is being checked."""

    shown: str
    data: bytes
    model: ModelProto
    metadata: Metadata | None  # None: not exported by cnnspec

    @property
    def bytes_last(self) -> bool:
        return self.metadata is not None and self.metadata.bytes_last

    @property
    def folded(self) -> bool:
        return self.metadata is not None and self.metadata.folded

    @property
    def quantized(self) -> bool:
        return self.metadata is not None and self.metadata.precision == "int8"

    @property
    def batch(self) -> int | None:
        """The batch size that the model prescribes."""
        dims = self.model.graph.input[0].type.tensor_type.shape.dim
        return (dims[0].dim_value or None) if dims else None


def verify_file(
    path: str | os.PathLike[str],
    against: Subject | None,
    data: str | None = None,
    data_dir: str | None = None,
    skip_bad: bool = False,
    report: Callable[[str], None] = lambda text: None,
) -> VerifyResult:
    """Check a file: its structure, its shapes, and its numbers.

    A file of cnnspec's is compared in torch with the spec that it carries and its own weights; with `against`, a
    trained network's, with that network's weights. Without anything to compare with it is run at several batches, and
    every row has to be what it is alone; so also without torch, where the spec then gives a second file to compare its
    nodes and weights with. With `data`, a data set, the figure of its task is worked out once more.
    Raises CnnspecError for what is no ONNX file; failed checks are in the result.
    """
    opened = open_model(
        path, any_origin=True, input_shape=against.network.graph.input_shape if against is not None else ()
    )
    model = onnx.load_model_from_string(opened.data)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    metadata = read_metadata(properties, opened.path) if opened.digest else None
    file = _File(opened.path, opened.data, model, metadata)
    checks = [*_check_digest(opened), check_structure(model)]
    graph = None
    try:
        graph = _network(metadata, against)
    except UsageError as error:  # the other network has not the layers whose results the file gives
        checks.append(Check("layers", False, f"the file gives the results of others: {error.message}"))
    classes = metadata.classes if metadata is not None else ()
    images = _open_images(graph, against, data, classes, data_dir, skip_bad, report) if data is not None else None
    if metadata is not None:
        checks.append(_check_metadata(model, metadata))
    if metadata is not None and against is not None and against.run is not None:
        checks.append(check_answers(metadata, against))
    agreement: list[Check] = []
    if graph is not None:
        numbers, agreement = _compare(file, graph, against, report)
        checks += [*numbers, *agreement]
    if graph is None or file.quantized or why_not_compared() is not None:
        checks.append(check_rows(model, opened.data, opened.path, metadata, graph))
    if images is not None and graph is not None:
        checks.append(_check_figure(file, graph, images, answers_of(metadata, against)))
    elif file.quantized and not agreement:
        way_out = "`--data DATA` works it out on images, and `--against RUN` compares with the network it came from"
        checks.append(unchecked("rounding", f"what it costs is not checked: {way_out}"))
    named = against.origin if against is not None and against.trained else None
    if graph is not None and named is None:
        named = f"the spec of {graph.name}, with the file's own weights"
    precision = metadata.precision if metadata is not None else None
    return VerifyResult(opened.path, named, opset_of(model), precision, tuple(checks))


def _network(metadata: Metadata | None, against: Subject | None) -> Graph | None:
    """The network that the file should be; None where nothing says. Raises UsageError for outputs that it lacks."""
    if against is not None:
        graph = against.network.graph
    elif metadata is not None:
        graph = metadata.network().graph
    else:
        return None
    return select_outputs(graph, metadata.outputs if metadata is not None else ())


def _check_digest(opened: ModelFile) -> list[Check]:
    """Whether a file that cnnspec wrote is as it was; nothing for others."""
    if opened.damage is not None:
        return [Check("digest", False, opened.damage.message)]
    if opened.digest is not None:
        return [Check("digest", True, f"the file is as it was written, {opened.digest[:12]}…")]
    return []


def _check_metadata(model: ModelProto, metadata: Metadata) -> Check:
    """Whether what the file says about itself is true of its graph."""
    name = "metadata"
    given, *more = model.graph.input
    sizes = list(metadata.input_sizes)
    declared = [dim.dim_value or None for dim in given.type.tensor_type.shape.dim]
    outputs = tuple(output.name.partition("/")[0] for output in model.graph.output)
    digest = hashlib.sha256(metadata.spec.encode()).hexdigest()
    faults = [
        text
        for right, text in (
            (digest == metadata.spec_sha256, "the spec is not of its digest"),
            (metadata.opset == opset_of(model), f"opset {metadata.opset} is told of"),
            (declared == sizes and not more, f"an input {sizes} is told of, and it is {declared}"),
            (outputs == metadata.outputs, f"the outputs {', '.join(metadata.outputs)} are told of"),
        )
        if not right
    ]
    if faults:
        return Check(name, False, "; ".join(faults))
    return Check(name, True, f"spec {digest[:12]}…, input, outputs and opset are those of the graph")


def _compare(
    file: _File, graph: Graph, against: Subject | None, report: Callable[[str], None]
) -> tuple[list[Check], list[Check]]:
    """The file beside torch: the checks of its numbers, and that of its classes where there is one.

    Eight bits are compared without the rounding; their classes only with a trained network's, on its images.
    """
    model, data, name = file.model, file.data, "numbers"
    trained = against.weights if against is not None and against.trained else None
    visible = folded_graph(graph) if file.folded else graph
    checks = []
    try:
        if file.quantized:
            checks.append(check_quantization(model, visible))
            model, name = without_quantization(model, visible), "numbers without rounding"
            data = model.SerializeToString()
        if file.metadata is not None:
            checks.append(check_shapes(model, visible, file.batch, bytes_last=file.bytes_last))
        own = trained
        if own is None or file.quantized:
            own = recover_weights(model, graph, folded=file.folded)
    except CnnspecError as error:
        return [*checks, Check("weights", False, error.message)], []
    if (missing := why_not_compared()) is not None:
        checks.append(unchecked(name, f"not compared with torch, which is not installed: {missing.hint}"))
        fresh = trained if trained is not None else None if file.folded or file.quantized else own
        return [*checks, *([] if fresh is None else _beside_fresh(file, model, graph, fresh))], []
    report("comparing with torch")
    batches, left_out = batches_for(graph, file.batch)
    comparison = _beside_torch(file, data, graph, own)
    checks += [check_numbers(comparison, batches=batches, name=name), *left_out]
    if trained is not None:
        checks += _beside_fresh(file, model, graph, trained)
    images = real_images(against.run) if against is not None and against.run is not None else None
    if not file.quantized:
        return checks, compare_classes(comparison, images, batches[-1], answers_of(file.metadata, against))
    if trained is None or images is None:
        return checks, []
    rounded = _beside_torch(file, file.data, graph, trained, half=True)
    return checks, compare_classes(rounded, images, batches[-1], answers_of(file.metadata, against), rounded=True)


def _beside_fresh(file: _File, model: ModelProto, graph: Graph, weights: Weights) -> list[Check]:
    """A model beside the one that an export of this network writes now, with these weights."""
    about = file.metadata
    if about is None:
        return [unchecked("nodes", "another exporter's form: that it does nothing else on other images is not proved")]
    try:
        lowering = Lowering(
            opset=about.opset,
            batch=about.batch,
            dynamic_size=about.dynamic_size,
            half=about.precision == "fp16",
            preprocess=about.bytes_last,
            softmax=about.output_kind == "probabilities" and not ends_in_softmax(graph),
            fold=about.folded,
        )
        fresh = lower(graph, weights, lowering)
    except CnnspecError as error:
        return [Check("nodes", False, f"there is no such export: {error.message}")]
    return [check_nodes(model, fresh), check_weights(model, fresh, step=STEP if file.quantized else 0.0)]


def _beside_torch(file: _File, data: bytes, graph: Graph, weights: Weights, *, half: bool = False) -> Comparison:
    """The file, or what was made of it, beside the network with these weights."""
    metadata = file.metadata
    probabilities = metadata is not None and metadata.output_kind == "probabilities"
    return beside_torch(
        data,
        file.shown,
        graph,
        weights,
        half=half or (metadata is not None and metadata.precision == "fp16"),
        bytes_last=file.bytes_last,
        softmax=probabilities and not ends_in_softmax(graph),
    )


def _open_images(
    graph: Graph | None,
    against: Subject | None,
    data: str,
    classes: tuple[str, ...],
    data_dir: str | None,
    skip_bad: bool,
    report: Callable[[str], None],
) -> DataSet | None:
    """The data set to score on. None where the network that the file should be is not known."""
    if graph is None and against is not None:
        return None
    if graph is None or len(graph.outputs) != 1 or graph.task is None:
        raise UsageError(
            "--data: what the network is for is not known",
            hint="`task` in its spec says it" if graph is not None else "`--against SPEC` says what the file reads",
        )
    config = against.run.config if against is not None and against.run is not None else None
    return open_set(graph, data, config, classes=classes, data_dir=data_dir, skip_bad=skip_bad, report=report)


def _check_figure(file: _File, graph: Graph, images: DataSet, answers: Answers | None) -> Check:
    """The figure of the task on a data set, and whether it is the one in the file where that was of the same images."""
    run = onnx_run(file.data, file.shown)

    def outputs(batch: Pixels) -> NDArray[np.float32]:
        return run(batch if file.bytes_last else normalize(batch, graph.mean, graph.std))[0]

    answers = answers or CLASSES
    figure = TASKS[answers.task].best
    value, count = best_figure(outputs, images, answers, file.batch or 32)
    if value is None:
        return unchecked(
            figure.title, f"{images.name} has none: its {count:,} {images.inputs} are too few, or all alike"
        )
    detail = f"{figure.show(value)} on {count:,} {images.inputs} of {images.name}"
    expected = None
    if file.metadata is not None and images.test is not None:
        expected = recorded(file.metadata, figure.key, images.name)
    if expected is None:
        return Check(figure.title, True, f"{detail}; the file tells of none on them", value)
    told = f"{detail}; the file tells of {figure.show(expected)}"
    return Check(figure.title, abs(value - expected) <= SAME, told, value)
