"""The way from a network to a file: lower, check, and only then write."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cnnspec.errors import CnnspecError, MissingExtraError, UsageError, VerificationError
from cnnspec.files import atomic_path
from cnnspec.graph import Graph
from cnnspec.ops import Shape
from cnnspec.ops.activation import Softmax

if TYPE_CHECKING:
    from onnx import ModelProto

    from cnnspec.exporting.subject import Subject
    from cnnspec.onnx_backend.lower import Lowering
    from cnnspec.onnx_backend.verify import Check

__all__ = ["PRECISIONS", "ExportOptions", "ExportResult", "export_network"]

PRECISIONS: Final = ("fp32", "fp16", "int8")


@dataclass(frozen=True)
class ExportOptions:
    """What an export may vary; the flags of `cnnspec export`."""

    opset: int | None = None
    batch: int | None = None  # None: any
    dynamic_size: bool = False
    precision: str = "fp32"
    preprocess: bool = False
    softmax: bool = False
    outputs: tuple[str, ...] = ()
    fold: bool | None = None  # None: only where the precision wants it
    verify: bool = True
    calibrate: str | None = None  # int8: the data to calibrate with
    max_drop: float = 0.01  # int8: of the accuracy
    data_dir: str | None = None

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise UsageError(f"there is no precision `{self.precision}`", hint=f"there are: {', '.join(PRECISIONS)}")
        if self.calibrate is not None and self.precision != "int8":
            raise UsageError("--calibrate is for `--precision int8`")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"a batch has at least one image, and not {self.batch}")


@dataclass(frozen=True)
class ExportResult:
    """A file that was written, and what was checked about it."""

    path: str
    name: str
    weights: str
    bytes: int
    nodes: int
    opset: int  # as read back from what was written
    precision: str
    batch: int | None
    dynamic_size: bool
    folded: bool
    input: tuple[Shape, str]  # without the batch, and the type
    outputs: dict[str, Shape]
    checks: tuple[Check, ...]
    verified: bool
    seconds: float  # lowering, checking the structure, and writing
    verify_seconds: float  # comparing numbers

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, as `--format json` prints it."""
        shape, kind = self.input
        plain = {key: getattr(self, key) for key in self.__dataclass_fields__ if key not in ("input", "checks")}
        return {
            "cnnspec": 1,
            **plain,
            "input": {"shape": list(shape), "type": kind},
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
            "checks": [check.to_dict() for check in self.checks],
        }


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
    try:
        from cnnspec.exporting.proof import check_sizes, compare, lower_network
        from cnnspec.onnx_backend import verify
        from cnnspec.onnx_backend.lower import DEFAULT_OPSET, Lowering, check_size, select_outputs
        from cnnspec.onnx_backend.metadata import seal, write_metadata
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "onnx") from None
    from cnnspec.runtime.files import remember

    started = time.perf_counter()
    path = Path(output) if output is not None else _default_path(subject, options)
    _check_path(path, subject.stem)
    graph = select_outputs(subject.graph, options.outputs)
    if options.softmax and _is_softmax(graph):
        raise UsageError("--softmax: the network ends in a Softmax already")
    lowering = Lowering(
        opset=options.opset or DEFAULT_OPSET,
        batch=options.batch,
        dynamic_size=options.dynamic_size,
        half=options.precision == "fp16",
        preprocess=options.preprocess,
        softmax=options.softmax,
    )
    check_size(graph, half=lowering.half)
    fold = options.fold if options.fold is not None else options.precision != "fp32"
    model, lowered = lower_network(graph, subject.weights, lowering, fold=fold)
    checks = [
        verify.check_structure(model),
        verify.check_shapes(model, lowered, options.batch, bytes_last=options.preprocess),
    ]
    _refuse_failures(path, checks)
    if options.dynamic_size:
        checks.append(check_sizes(subject, model, lowering, fold=fold))
        _refuse_failures(path, checks)
    seconds = time.perf_counter() - started
    data = None
    if options.precision == "int8":
        from cnnspec.exporting.int8 import calibration_set, quantized
        from cnnspec.onnx_backend.quantized import check_quantization

        data = calibration_set(subject, graph, options, report)  # before what takes longer
    started = time.perf_counter()
    extra: dict[str, Any] = {}
    if options.verify:
        report("comparing with torch")
        checks += compare(subject, graph, model, lowering, fold=fold)
        _refuse_failures(path, checks)
    if data is not None:
        model, found, extra = quantized(data, graph, model, options, report)
        checks += [
            replace(verify.check_structure(model), name="onnx.checker, int8"),
            check_quantization(model, lowered),
            *found,
        ]
        _refuse_failures(path, checks)
    verify_seconds = time.perf_counter() - started
    started = time.perf_counter()
    facts = _facts(subject, graph, lowering, options.precision, fold=fold)
    if options.verify:
        facts["verification"] = {check.name: check.figure for check in checks}
    facts["analysis"] |= extra
    _set_properties(model, write_metadata(_metadata(facts)))
    content = model.SerializeToString()
    parts, digest = seal(content)
    _make_folder(path.parent)
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        file.writelines(parts)
    remember(digest)
    return ExportResult(
        path=str(path),
        name=subject.graph.name,
        weights=subject.origin,
        bytes=len(content),
        nodes=len(model.graph.node),
        opset=verify.opset_of(model),
        precision=options.precision,
        batch=options.batch,
        dynamic_size=options.dynamic_size,
        folded=fold,
        input=_input_of(graph, preprocess=options.preprocess),
        outputs={name: graph.shape_of(name) for name in graph.outputs},
        checks=tuple(checks),
        verified=options.verify,
        seconds=seconds + time.perf_counter() - started,
        verify_seconds=verify_seconds,
    )


def _refuse_failures(path: Path, checks: Sequence[Check]) -> None:
    failed = [check for check in checks if not check.passed]
    if failed:
        listed = "; ".join(f"{check.name}: {check.detail}" for check in failed)
        raise VerificationError(f"{path} was not written, because a check failed: {listed}")


def _check_path(path: Path, stem: str) -> None:
    """Raise what writing there would raise in the end, before anything is worked out."""
    if path.is_dir():
        raise UsageError(f"{path} is a directory", hint=f"name a file: -o {path / (stem + '.onnx')}")
    if path.suffix != ".onnx":
        raise UsageError(f"{path} does not end in .onnx", hint=f"name a file: -o {path.with_suffix('.onnx')}")
    folder = next(folder for folder in path.absolute().parents if os.path.exists(folder))
    if not folder.is_dir():
        raise UsageError(f"cannot write {path}: {folder} is a file")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CnnspecError(f"cannot write {path}: {folder} may not be written to")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CnnspecError(f"cannot make the folder {folder}: {error.strerror or error}") from None


def _default_path(subject: Subject, options: ExportOptions) -> Path:
    suffix = "" if options.precision == "fp32" else f"-{options.precision}"
    return Path("exports") / f"{subject.stem}{suffix}.onnx"


def _is_softmax(graph: Graph) -> bool:
    op = graph.by_name[graph.outputs[0]].op
    return isinstance(op, Softmax) and op.dim in (1, -len(graph.output_shape))


def _input_of(graph: Graph, *, preprocess: bool) -> tuple[Shape, str]:
    if preprocess:
        return (*graph.input_shape[1:], graph.input_shape[0]), "uint8"
    return graph.input_shape, "float32"


def _facts(subject: Subject, graph: Graph, lowering: Lowering, precision: str, *, fold: bool) -> dict[str, Any]:
    """What the file says about itself."""
    import numpy
    import onnx

    from cnnspec.version import __version__

    params = sum(prod(size) for node in graph for size in node.op.parameter_shapes(*node.input_shapes).values())
    macs = sum(node.op.macs(*node.input_shapes) for node in graph)
    probabilities = lowering.softmax or _is_softmax(graph)
    return {
        "name": subject.graph.name,
        "language": subject.source.document.header.cnnspec,
        "spec": subject.source.text,
        "spec_kind": "json" if subject.source.json else "yaml",
        "spec_sha256": hashlib.sha256(subject.source.text.encode()).hexdigest(),
        "variant": subject.variant,
        "settings": dict(subject.settings),
        "input_shape": subject.graph.input_shape,
        "layout": "NHWC" if lowering.preprocess else "NCHW",
        "mean": subject.graph.mean,
        "std": subject.graph.std,
        "classes": subject.classes or subject.graph.classes,
        "outputs": graph.outputs,
        "output_kind": "probabilities" if probabilities else "scores",
        "precision": precision,
        "folded": fold,
        "opset": lowering.opset,
        "batch": lowering.batch,
        "dynamic_size": lowering.dynamic_size,
        "weights": subject.origin,
        "training": dict(subject.training),
        "analysis": {"params": params, "macs": macs, "layers": len(graph)},
        "tools": {"cnnspec": __version__, "onnx": onnx.__version__, "numpy": numpy.__version__},
    }


def _metadata(facts: dict[str, Any]) -> Any:
    from cnnspec.onnx_backend.metadata import Metadata

    return Metadata.model_validate(facts)


def _set_properties(model: ModelProto, properties: dict[str, str]) -> None:
    del model.metadata_props[:]
    for key, value in properties.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
