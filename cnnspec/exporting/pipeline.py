"""The way from a network to a file: lowered, proved, quantised, and only then written."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from cnnspec.errors import MissingExtraError, UsageError
from cnnspec.exporting.draft import Draft
from cnnspec.exporting.options import ExportOptions, ExportResult
from cnnspec.exporting.proof import check_sizes, prove
from cnnspec.exporting.subject import Subject, ends_in_softmax
from cnnspec.exporting.write import output_path, write
from cnnspec.images import channels_last
from cnnspec.onnx_backend.lower import check_size, lower, select_outputs
from cnnspec.onnx_backend.verify import check_shapes, check_structure, opset_of

__all__ = ["export_network", "lower_draft"]


def export_network(
    subject: Subject,
    output: str | os.PathLike[str] | None,
    options: ExportOptions,
    report: Callable[[str], None] = lambda text: None,
) -> ExportResult:
    """Write `subject` as one ONNX file (default: `exports/NAME.onnx`).

    Raises VerificationError where a check fails: then nothing is written. Raises UsageError where the network cannot
    be exported that way, and CnnspecError where its weights do not belong to it.
    """
    began = perf_counter()
    draft = lower_draft(subject, output_path(subject, output, options), options)
    lowered = perf_counter()
    quantize = _quantization(draft, report)  # before what takes longer, so that missing images are told first
    opened = perf_counter()
    if options.verify:
        try:
            draft = prove(draft, report)
        except MissingExtraError as error:
            error.hint = f"{error.hint}; or `--no-verify` writes the file without the comparison"
            raise
    draft = quantize(draft)
    proved = perf_counter()
    size = write(draft)
    written = perf_counter()
    return _result(draft, size, seconds=lowered - began + written - proved, verify_seconds=proved - opened)


def lower_draft(subject: Subject, path: Path, options: ExportOptions) -> Draft:
    """The network as a model whose structure is checked. Raises as `export_network` does."""
    lowering = options.lowering
    graph = select_outputs(subject.network.graph, options.outputs)
    if lowering.softmax and ends_in_softmax(graph):
        raise UsageError("--softmax: the network ends in a Softmax already")
    if lowering.softmax and subject.answers is not None and subject.answers.task in ("multi-label", "regression"):
        raise UsageError(f"--softmax is of scores of one class each, and the network is for {subject.answers.task}")
    check_size(graph, half=lowering.half)  # before the weights are there
    draft = Draft(path, subject, options, graph, lower(graph, subject.weights, lowering))
    draft = draft.checked(
        check_structure(draft.model),
        check_shapes(draft.model, draft.visible_graph, lowering.batch, bytes_last=lowering.preprocess),
    )
    return draft.checked(check_sizes(draft)) if lowering.dynamic_size else draft


def _quantization(draft: Draft, report: Callable[[str], None]) -> Callable[[Draft], Draft]:
    """The stage that quantises, with its images opened; one that does nothing where eight bits are not asked for."""
    if draft.options.quantization is None:
        return lambda draft: draft
    from cnnspec.exporting.int8 import open_calibration, quantize

    calibration = open_calibration(draft, draft.options.quantization, report)
    return lambda draft: quantize(draft, calibration, report)


def _result(draft: Draft, size: int, *, seconds: float, verify_seconds: float) -> ExportResult:
    graph, options, lowering = draft.graph, draft.options, draft.options.lowering
    return ExportResult(
        path=str(draft.path),
        name=draft.subject.network.graph.name,
        weights=draft.subject.origin,
        bytes=size,
        nodes=len(draft.model.graph.node),
        opset=opset_of(draft.model),
        precision=options.precision,
        batch=lowering.batch,
        dynamic_size=lowering.dynamic_size,
        folded=lowering.fold,
        input=(channels_last(graph.input_shape), "uint8") if lowering.preprocess else (graph.input_shape, "float32"),
        outputs={name: graph.shape_of(name) for name in graph.outputs},
        checks=draft.checks,
        verified=options.verify,
        seconds=seconds,
        verify_seconds=verify_seconds,
    )
