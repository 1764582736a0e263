"""The last stage of an export: what the file says about itself, and the file; and the first: where it may lie."""

from __future__ import annotations

import hashlib
import os
from math import prod
from pathlib import Path

import numpy as np
import onnx

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.exporting.draft import Draft
from cnnspec.exporting.options import ExportOptions
from cnnspec.exporting.subject import Subject, ends_in_softmax, macs
from cnnspec.files import check_rewritable, rewritten_path
from cnnspec.onnx_backend.metadata import Metadata, seal, write_metadata
from cnnspec.runtime.files import remember
from cnnspec.version import __version__

__all__ = ["output_path", "write"]


def output_path(subject: Subject, output: str | os.PathLike[str] | None, options: ExportOptions) -> Path:
    """Where to write, by default `exports/NAME.onnx`.

    Raises what writing there would raise in the end, before anything is worked out.
    """
    suffix = "" if options.precision == "fp32" else f"-{options.precision}"
    path = Path(output) if output is not None else Path("exports") / f"{subject.stem}{suffix}.onnx"
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint=f"name a file: -o {path / (subject.stem + '.onnx')}")
    if path.suffix != ".onnx":
        raise UsageError(f"{path} does not end in .onnx", hint=f"name a file: -o {path.with_suffix('.onnx')}")
    final = check_rewritable(path).absolute()
    folder = next(folder for folder in final.parents if os.path.exists(folder))
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: {folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CnnspecError(f"cannot write {path}: {folder} may not be written to")
    return path


def write(draft: Draft) -> int:
    """Write the model with its metadata and its digest. Returns its size in bytes. Raises CnnspecError."""
    del draft.model.metadata_props[:]
    for key, value in write_metadata(_metadata(draft)).items():
        entry = draft.model.metadata_props.add()
        entry.key, entry.value = key, value
    content = draft.model.SerializeToString()
    parts, digest = seal(content)
    folder = draft.path.parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CnnspecError(f"cannot make the folder {folder}: {error.strerror or error}") from None
    with rewritten_path(draft.path) as temporary, open(temporary, "wb") as file:
        file.writelines(parts)
    remember(digest)
    return len(content)


def _metadata(draft: Draft) -> Metadata:
    """What the file says about itself."""
    subject, graph, lowering = draft.subject, draft.graph, draft.options.lowering
    network, record = subject.network, subject.network.record()
    params = sum(prod(size) for node in graph for size in node.op.parameter_shapes(*node.input_shapes).values())
    figures = {"params": params, "macs": macs(graph), "layers": len(graph)}
    answers = draft.answers
    rounding = draft.rounding.to_dict() if draft.rounding is not None else {}
    return Metadata(
        name=network.name,
        language=network.source.document.header.cnnspec,
        spec=record.spec,
        spec_kind="json" if network.source.json else "yaml",
        spec_sha256=hashlib.sha256(record.spec.encode()).hexdigest(),
        variant=record.variant,
        settings=record.params,
        input_shape=network.graph.input_shape,
        layout="NHWC" if lowering.preprocess else "NCHW",
        mean=network.graph.mean,
        std=network.graph.std,
        fit=network.graph.intake.fit,
        resize=network.graph.intake.resize,
        rate=network.graph.intake.rate,
        classes=subject.classes or network.graph.classes,
        task="none" if answers is None else answers.task,
        numbers=answers.numbers if answers else (),
        units=answers.units if answers else (),
        target_mean=answers.mean if answers else (),
        target_std=answers.std if answers else (),
        thresholds=answers.thresholds if answers else (),
        ignore=answers.ignore if answers else None,
        outputs=graph.outputs,
        output_kind="probabilities" if lowering.softmax or ends_in_softmax(graph) else "scores",
        precision=draft.options.precision,
        folded=lowering.fold,
        opset=lowering.opset,
        batch=lowering.batch,
        dynamic_size=lowering.dynamic_size,
        weights=subject.origin,
        training=dict(subject.training),
        analysis={**figures, **rounding},
        verification={check.name: check.figure for check in draft.checks} if draft.options.verify else None,
        tools={"cnnspec": __version__, "onnx": onnx.__version__, "numpy": np.__version__},
    )
