"""Checks of an ONNX file that lies on the disk, whoever wrote it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from cnnspec.errors import CnnspecError, MissingExtraError, UsageError
from cnnspec.graph import Graph
from cnnspec.onnx_backend.metadata import Metadata, check_seal, read_metadata
from cnnspec.runtime.files import is_known, read_model, remember
from cnnspec.runtime.trial import Trial
from cnnspec.spec import parse_setting, read_spec

if TYPE_CHECKING:
    from onnx import ModelProto

    from cnnspec.data.sets import DataSet
    from cnnspec.exporting.subject import Subject
    from cnnspec.onnx_backend.verify import Check

__all__ = ["VerifyResult", "embedded_graph", "verify_file"]

SAME: Final = 0.001  # how far an accuracy may be from the one that the file tells: another machine rounds differently


@dataclass(frozen=True)
class VerifyResult:
    """What was checked about a file."""

    path: str
    against: str | None  # what it was compared with
    opset: int
    precision: str | None  # None: not exported by cnnspec
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether all checks passed."""
        return all(check.passed for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
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
    about: Metadata | None  # None: not exported by cnnspec

    @property
    def bytes_last(self) -> bool:
        return self.about is not None and self.about.layout == "NHWC"

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
    report: Callable[[str], None] = lambda text: None,
) -> VerifyResult:
    """Check a file: its structure, its shapes, and its numbers.

    A file of cnnspec's is compared in torch with the spec that it carries and its own weights; with `against`, a
    trained network's, with that network's weights. Without anything to compare with it is run at several batches, and
    every row has to be what it is alone. With `data`, a data set, its accuracy is worked out once more.
    Raises CnnspecError for what is no ONNX file; failed checks are in the result.
    """
    try:
        import onnx

        from cnnspec.exporting.rows import check_rows
        from cnnspec.onnx_backend import verify
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "onnx") from None
    shown = os.fspath(path)
    content = read_model(path)
    checks = []
    digest = ""
    if b"cnnspec.sha256" in content[-64 * 2**20 :]:
        try:
            digest = check_seal(content, shown)
            checks.append(verify.Check("digest", True, f"the file is as it was written, {digest[:12]}…"))
        except CnnspecError as error:
            checks.append(verify.Check("digest", False, error.message))
    if not (digest and is_known(digest)):
        with Trial() as trial:
            trial.run(content, shown)
        if digest:
            remember(digest)
    model = onnx.load_model_from_string(content)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    about = read_metadata(properties, shown) if digest else None
    file = _File(shown, content, model, about)
    checks.append(verify.check_structure(model))
    graph = None
    try:
        graph = _graph(about, against)
    except UsageError as error:  # the other network has not the layers whose results the file gives
        checks.append(verify.Check("layers", False, f"the file gives the results of others: {error.message}"))
    images = _open(graph, against, data, data_dir, report) if data is not None else None
    if about is not None:
        checks.append(_check_metadata(file, about))
    if graph is not None:
        checks += _compare(file, graph, against, report)
    if graph is None or (about is not None and about.precision == "int8"):
        checks.append(check_rows(model, content, shown, about, graph))
    if images is not None and graph is not None:
        checks.append(_accuracy(file, graph, images))
    elif about is not None and about.precision == "int8" and all(each.name != "top-1 agreement" for each in checks):
        told = "`--data DATA` works it out on images, and `--against RUN` compares with the network it came from"
        checks.append(verify.unchecked("rounding", f"what it costs is not checked: {told}"))
    named = against.origin if against is not None and against.trained else None
    if graph is not None and named is None:
        named = f"the spec of {graph.name}, with the file's own weights"
    return VerifyResult(
        shown, named, verify.opset_of(model), about.precision if about is not None else None, tuple(checks)
    )


def embedded_graph(about: Metadata) -> Graph:
    """The network that a file says it is. Raises SpecError where its spec is invalid."""
    source = read_spec(f"{about.name}.{about.spec_kind}", about.spec.encode())
    params = dict(parse_setting(f"{name}={value}") for name, value in about.settings.items())
    return source.elaborate(variant=about.variant, params=params, input_shape=about.input_shape)


def _graph(about: Metadata | None, against: Subject | None) -> Graph | None:
    from cnnspec.onnx_backend.lower import select_outputs

    if against is not None:
        graph = against.graph
    elif about is not None:
        graph = embedded_graph(about)
    else:
        return None
    return select_outputs(graph, about.outputs if about is not None else ())


def _check_metadata(file: _File, about: Metadata) -> Check:
    """Whether what the file says about itself is true of its graph."""
    from cnnspec.onnx_backend import verify

    name = "metadata"
    given, *more = file.model.graph.input
    channels, *axes = about.input_shape
    sizes: list[int | None] = [about.batch, channels, *((None if about.dynamic_size else size) for size in axes)]
    if about.layout == "NHWC":
        sizes = [sizes[0], *sizes[2:], channels]
    declared = [dim.dim_value or None for dim in given.type.tensor_type.shape.dim]
    outputs = tuple(output.name.partition("/")[0] for output in file.model.graph.output)
    faults = [
        text
        for right, text in (
            (hashlib.sha256(about.spec.encode()).hexdigest() == about.spec_sha256, "the spec is not of its digest"),
            (about.opset == verify.opset_of(file.model), f"opset {about.opset} is told of"),
            (declared == sizes and not more, f"an input {sizes} is told of, and it is {declared}"),
            (outputs == about.outputs, f"the outputs {', '.join(about.outputs)} are told of"),
        )
        if not right
    ]
    if faults:
        return verify.Check(name, False, "; ".join(faults))
    return verify.Check(name, True, f"spec {about.spec_sha256[:12]}…, input, outputs and opset are those of the graph")


def _compare(file: _File, graph: Graph, against: Subject | None, report: Callable[[str], None]) -> list[Check]:
    from cnnspec.exporting.proof import batches_for, compare_classes
    from cnnspec.exporting.reference import onnx_run, torch_run
    from cnnspec.onnx_backend import verify
    from cnnspec.onnx_backend.quantized import check_quantization, check_rounded, without_quantization
    from cnnspec.onnx_backend.recover import recover_weights
    from cnnspec.scoring.samples import real_images

    about, model, data = file.about, file.model, file.data
    precision = about.precision if about is not None else "fp32"
    folded = about is not None and about.folded
    trained = dict(against.weights) if against is not None and against.trained else None
    shows = _without_folded(graph) if folded else graph
    checks = []
    name = "numbers"
    try:
        if precision == "int8":
            checks.append(check_quantization(model, shows))
            model, name = without_quantization(model, shows), "numbers without rounding"
            data = model.SerializeToString()
        if about is not None:
            checks.append(verify.check_shapes(model, shows, file.batch, bytes_last=file.bytes_last))
        own = dict(recover_weights(model, graph, folded=folded)) if trained is None or precision == "int8" else trained
    except CnnspecError as error:
        return [*checks, verify.Check("weights", False, error.message)]
    if precision == "int8" and trained is not None:
        checks.append(check_rounded(graph, own, trained, folded=folded))
    report("comparing with torch")
    probabilities = about is not None and about.output_kind == "probabilities"
    softmax = probabilities and any(node.name == f"{graph.outputs[0]}/softmax" for node in model.graph.node)
    common: dict[str, Any] = {"bytes_last": file.bytes_last}
    common["tolerance"] = verify.TOLERANCES["fp16" if precision == "fp16" else "fp32"]
    batches, left_out = batches_for(graph, file.batch)
    ours, reference = onnx_run(data, file.shown), torch_run(graph, own, softmax=softmax)
    checks += [verify.check_numbers(ours, reference, graph, batches=batches, name=name, **common), *left_out]
    images = real_images(against.run) if against is not None and against.run is not None else None
    if precision != "int8":
        checks += compare_classes(ours, reference, graph, images, batches[-1], **common)
    elif trained is not None and images is not None:
        common["tolerance"] = verify.TOLERANCES["fp16"]
        ours, reference = onnx_run(file.data, file.shown), torch_run(graph, trained, softmax=softmax)
        checks += compare_classes(ours, reference, graph, images, batches[-1], rounded=True, **common)
    return checks


def _without_folded(graph: Graph) -> Graph:
    from cnnspec.onnx_backend.fold import foldable

    into = foldable(graph)
    nodes = tuple(
        replace(node, inputs=tuple(into.get(name, name) for name in node.inputs))
        for node in graph
        if node.name not in into
    )
    return replace(graph, nodes=nodes)


def _open(
    graph: Graph | None, against: Subject | None, data: str, data_dir: str | None, report: Callable[[str], None]
) -> DataSet | None:
    """The data set to score on. None where the network that the file should be is not known."""
    from cnnspec.scoring.samples import open_set

    if graph is None and against is not None:
        return None
    if graph is None or len(graph.outputs) != 1 or len(graph.output_shape) != 1:
        raise UsageError(
            "--data: the accuracy is that of a network with one number per class",
            hint=None if graph is not None else "`--against SPEC` says what the file reads",
        )
    config = against.run.config if against is not None and against.run is not None else None
    return open_set(graph, data, data_dir, report, config)


def _accuracy(file: _File, graph: Graph, data: DataSet) -> Check:
    """The accuracy on a data set, and whether it is the one that the file tells of where it was scored on that set."""
    from cnnspec.exporting.reference import onnx_run
    from cnnspec.images import normalize
    from cnnspec.onnx_backend import verify
    from cnnspec.scoring.samples import accuracy

    about = file.about
    run = onnx_run(file.data, file.shown)
    found, count = accuracy(
        lambda images: run(images if file.bytes_last else normalize(images, graph.mean, graph.std))[0],
        data,
        file.batch or 32,
    )
    detail = f"{found:.2%} on {count:,} images of {data.name}"
    told = _told_accuracy(about, data.name) if about is not None and data.test is not None else None
    if told is None:
        return verify.Check("accuracy", True, f"{detail}; the file tells of none on them", found)
    return verify.Check("accuracy", abs(found - told) <= SAME, f"{detail}; the file tells of {told:.2%}", found)


def _told_accuracy(about: Metadata, data: str) -> float | None:
    """The accuracy on the test images of a data set that the file was exported with."""
    if about.precision == "int8":
        told = about.analysis.get("accuracy_int8") if about.analysis.get("calibrated_with") == data else None
    else:
        told = about.training.get("test_accuracy") if about.training.get("data") == data else None
    return float(told) if isinstance(told, int | float) else None
