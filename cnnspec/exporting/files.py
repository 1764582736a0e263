"""Checks of an ONNX file that lies on the disk, whoever wrote it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.errors import CnnspecError, MissingExtraError, UsageError
from cnnspec.graph import Graph
from cnnspec.onnx_backend.metadata import Metadata, check_seal, read_metadata
from cnnspec.ops import show_shape
from cnnspec.runtime.files import is_known, read_model, remember
from cnnspec.runtime.trial import Trial
from cnnspec.spec import parse_setting, read_spec

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from onnx import ModelProto

    from cnnspec.exporting.subject import Subject
    from cnnspec.onnx_backend.verify import Check

    Outputs = Sequence[NDArray[Any]]

__all__ = ["VerifyResult", "embedded_graph", "verify_file"]

ROWS: Final = 1e-4  # how much one image's result may depend on the others in its batch


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


def verify_file(
    path: str | os.PathLike[str], against: Subject | None, report: Callable[[str], None] = lambda text: None
) -> VerifyResult:
    """Check a file: its structure, its shapes, and its numbers.

    A file of cnnspec's is compared in torch with the spec that it carries and its own weights; with `against`, a
    trained network's, with that network's weights. Without anything to compare with it is run at several batches, and
    every row has to be what it is alone.
    Raises CnnspecError for what is no ONNX file; failed checks are in the result.
    """
    try:
        import onnx

        from cnnspec.onnx_backend import verify
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "onnx", "onnx") from None
    shown = os.fspath(path)
    data = read_model(path)
    checks = []
    about: Metadata | None = None
    digest = ""
    if b"cnnspec.sha256" in data[-64 * 2**20 :]:
        try:
            digest = check_seal(data, shown)
            checks.append(verify.Check("digest", True, f"the file is as it was written, {digest[:12]}…"))
        except CnnspecError as error:
            checks.append(verify.Check("digest", False, error.message))
    if not (digest and is_known(digest)):
        with Trial() as trial:
            trial.run(data, shown)
        if digest:
            remember(digest)
    model = onnx.load_model_from_string(data)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    if digest:
        about = read_metadata(properties, shown)
    checks.append(verify.check_structure(model))
    graph = None
    try:
        graph = _graph(model, about, against)
    except UsageError as error:  # the other network has not the layers whose results the file gives
        checks.append(verify.Check("layers", False, error.message))
    if graph is not None:
        checks += _compare(model, data, shown, graph, about, against, report)
    else:
        checks.append(_check_rows(model, data, shown))
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


def _graph(model: ModelProto, about: Metadata | None, against: Subject | None) -> Graph | None:
    from cnnspec.onnx_backend.lower import select_outputs

    if against is not None:
        graph = against.graph
    elif about is not None:
        graph = embedded_graph(about)
    else:
        return None
    return select_outputs(graph, about.outputs if about is not None else ())


def _compare(
    model: ModelProto,
    data: bytes,
    shown: str,
    graph: Graph,
    about: Metadata | None,
    against: Subject | None,
    report: Callable[[str], None],
) -> list[Check]:
    from cnnspec.exporting.reference import onnx_run, torch_run
    from cnnspec.exporting.samples import real_images
    from cnnspec.onnx_backend import verify
    from cnnspec.onnx_backend.recover import recover_weights

    precision = about.precision if about is not None else "fp32"
    bytes_last = about is not None and about.layout == "NHWC"
    batch = _fixed_batch(model)
    checks = []
    folded = about is not None and about.folded
    if precision != "int8" and about is not None:
        shape_of = _without_folded(graph) if folded else graph
        checks.append(verify.check_shapes(model, shape_of, batch, bytes_last=bytes_last))
    if against is not None and against.trained:
        weights = dict(against.weights)
    elif precision == "int8":
        detail = "int8 weights say nothing about the network's: `--against RUN` compares with those it came from"
        return [*checks, _check_rows(model, data, shown), verify.Check("numbers", True, detail)]
    else:
        try:
            weights = dict(recover_weights(model, graph, folded=folded))
        except CnnspecError as error:
            return [*checks, verify.Check("weights", False, error.message)]
    report("comparing with torch")
    probabilities = about is not None and about.output_kind == "probabilities"
    softmax = probabilities and model.graph.node[-1].name.endswith("/softmax")
    reference = torch_run(graph, weights, softmax=softmax)
    ours = onnx_run(data, shown)
    batches = (batch,) if batch else verify.BATCHES
    if precision != "int8":
        checks.append(
            verify.check_numbers(
                ours,
                reference,
                graph,
                batches=batches,
                tolerance=verify.TOLERANCES[precision],
                bytes_last=bytes_last,
            )
        )
    if len(graph.output_shape) == 1:
        images = real_images(against) if against is not None else None
        rows = batch or 32
        seen = images if images is not None else verify.random_batch(graph, 4 * rows, 7)
        least = 1.0 if precision == "fp32" else verify.AGREEMENT
        if len(seen) >= rows and (precision != "int8" or images is not None):
            checks.append(
                verify.check_agreement(ours, reference, graph, seen, least=least, bytes_last=bytes_last, batch=rows)
            )
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


def _fixed_batch(model: ModelProto) -> int | None:
    """The batch size that a model prescribes."""
    dims = model.graph.input[0].type.tensor_type.shape.dim
    return (dims[0].dim_value or None) if dims else None


def _check_rows(model: ModelProto, data: bytes, shown: str) -> Check:
    """Whether a model gives every image of a batch what it gives it alone."""
    from onnx import TensorProto

    from cnnspec.exporting.reference import onnx_run
    from cnnspec.onnx_backend import verify

    name = "batches"
    kind = model.graph.input[0].type.tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim]
    inner = sizes[1:]
    initial = {tensor.name for tensor in model.graph.initializer}
    if len([given for given in model.graph.input if given.name not in initial]) != 1 or not all(inner):
        return verify.Check(name, True, "not run: it has several inputs, or sizes that only its maker knows")
    if kind.elem_type not in (TensorProto.FLOAT, TensorProto.UINT8):
        return verify.Check(name, True, "not run: it takes neither float32 nor bytes")
    run = onnx_run(data, shown)
    random = np.random.default_rng(0)
    most = sizes[0] or max(verify.BATCHES)
    inputs = random.integers(0, 256, (most, *inner)).astype(np.uint8)
    whole = inputs if kind.elem_type == TensorProto.UINT8 else (inputs / np.float32(128) - 1).astype(np.float32)
    try:
        together = run(whole)
        counts = [count for count in verify.BATCHES if count < most] if not sizes[0] else []
        worst = max((_largest(run(whole[:count]), together, count) for count in counts), default=0.0)
    except Exception as error:  # onnxruntime's errors have no common base below Exception
        from cnnspec.runtime.session import first_line

        return verify.Check(name, False, f"it does not run: {first_line(error)}")
    if not all(np.isfinite(value).all() for value in together):
        return verify.Check(name, False, "the outputs are not finite")
    listed = ", ".join(map(str, [*counts, most]))
    shapes = ", ".join(show_shape(value.shape) for value in together)
    detail = f"runs at batches {listed} and gives {shapes}; rows differ by {worst:.1e} of the largest magnitude"
    return verify.Check(name, worst <= ROWS, detail, worst)


def _largest(part: Outputs, whole: Outputs, count: int) -> float:
    pairs = [(one, two[:count]) for one, two in zip(part, whole, strict=True)]
    return max(float(np.abs(one - two).max() / (np.abs(two).max() or 1)) for one, two in pairs)
