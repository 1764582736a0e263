"""Proof that an ONNX model is the network: its structure, its shapes, and its numbers against a reference.

Every check is a `Check` with a line for people. Whoever exports decides what to do with a failed one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import onnx
from onnx import ModelProto, helper

from cnnspec.checks import Check, unchecked
from cnnspec.graph import Graph
from cnnspec.images import channels_last, normalize
from cnnspec.ops import Shape, show_shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]  # (N, H, W, C)
    Outputs = Sequence[NDArray[np.float32]]  # one array per output, in their order
    Forward = Callable[[NDArray[np.float32] | Pixels], Outputs]  # for one batch

__all__ = [
    "AGREEMENT",
    "BATCHES",
    "TOLERANCES",
    "Check",
    "Comparison",
    "check_agreement",
    "check_numbers",
    "check_shapes",
    "check_structure",
    "prepared",
    "random_batch",
    "unchecked",
]

BATCHES: Final = (1, 2, 7, 32)
TOLERANCES: Final = {"fp32": 1e-5, "fp16": 1e-2}  # of the largest magnitude of the output
AGREEMENT: Final = 0.99  # of the most probable class, for fp16
LARGE: Final = 4096  # elements; larger weights say nothing about shapes


def check_structure(model: ModelProto) -> Check:
    """`onnx.checker`, the full check: every node against its operator's schema, and strict shape inference."""
    name = "onnx.checker"
    try:
        onnx.checker.check_model(_without_large_weights(model), full_check=True)
    except Exception as error:  # the checker's errors have no common base below Exception
        return Check(name, False, str(error).strip().splitlines()[0][:200])
    opset = opset_of(model)
    return Check(name, True, f"full check passed, {len(model.graph.node)} nodes, opset {opset}")


def opset_of(model: ModelProto) -> int:
    """The opset of the standard operators that a model says it is written in."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def check_shapes(model: ModelProto, graph: Graph, batch: int | None, *, bytes_last: bool = False) -> Check:
    """ONNX's own shape inference against the spec's shapes, for every layer's tensor.

    `bytes_last` says that the model takes images as `(N, H, W, C)`.
    """
    name = "shapes"
    size = batch or 2
    light = _without_large_weights(model)
    given = channels_last(graph.input_shape) if bytes_last else graph.input_shape
    _declare(light.graph.input[0], (size, *given))
    for output in light.graph.output:
        output.type.tensor_type.ClearField("shape")
    try:
        inferred = onnx.shape_inference.infer_shapes(light, strict_mode=True, data_prop=True)
    except Exception as error:  # the inference's errors have no common base below Exception
        return Check(name, False, str(error).strip().splitlines()[0][:200])
    shapes = {value.name: _shape(value) for value in (*inferred.graph.value_info, *inferred.graph.output)}
    different = [
        f"{node.name}: {show_shape(node.shape)} in the spec, {_show(shapes.get(node.name))} in the file"
        for node in graph
        if shapes.get(node.name) != (size, *node.shape)
    ]
    if different:
        return Check(name, False, f"{len(different)} of {len(graph)} layers differ; {'; '.join(different[:3])}")
    return Check(name, True, f"{len(graph)} of {len(graph)} layers have the spec's shape", float(len(graph)))


def _without_large_weights(model: ModelProto) -> ModelProto:
    """The model with large weights declared instead of given, so that checking does not copy them."""
    light = ModelProto()
    light.ir_version = model.ir_version
    light.opset_import.extend(model.opset_import)
    light.graph.name = model.graph.name
    light.graph.node.extend(model.graph.node)
    light.graph.input.extend(model.graph.input)
    light.graph.output.extend(model.graph.output)
    light.graph.value_info.extend(model.graph.value_info)
    for tensor in model.graph.initializer:
        if np.prod(tensor.dims, dtype=np.int64) > LARGE:
            light.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            light.graph.initializer.append(tensor)
    return light


def _declare(value: Any, sizes: Shape) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for size in sizes:
        shape.dim.add().dim_value = size


def _shape(value: Any) -> Shape | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    dims = value.type.tensor_type.shape.dim
    sizes = tuple(dim.dim_value if dim.HasField("dim_value") else -1 for dim in dims)
    return None if -1 in sizes else sizes


def _show(shape: Shape | None) -> str:
    return "unknown" if shape is None else show_shape(shape[1:])


def random_batch(graph: Graph, count: int, seed: int) -> NDArray[np.float32] | Pixels:
    """Something for the network to read: random bytes `(N, H, W, C)` for images, else normal numbers `(N, ...)`."""
    random = np.random.default_rng(seed)
    if len(graph.input_shape) == 3:
        return random.integers(0, 256, (count, *channels_last(graph.input_shape)), np.uint8)
    return random.standard_normal((count, *graph.input_shape), np.float32)


def prepared(graph: Graph, raw: NDArray[np.float32] | Pixels) -> NDArray[np.float32]:
    """What the network reads, `(N, C, H, W)`, for images as bytes `(N, H, W, C)`; everything else is taken as it is."""
    if raw.dtype == np.uint8:
        return normalize(cast("Pixels", raw), graph.mean, graph.std)
    return cast("NDArray[np.float32]", raw)


@dataclass(frozen=True)
class Comparison:
    """A model beside the network that it should be, and how near it has to come."""

    model: Forward
    reference: Forward  # the network
    graph: Graph
    tolerance: float = TOLERANCES["fp32"]  # of the largest magnitude of an output
    bytes_last: bool = False  # whether the model takes bytes (N, H, W, C), and not what the network takes

    def outputs(self, raw: NDArray[np.float32] | Pixels) -> tuple[Outputs, Outputs]:
        """What the model gives and what the network gives for a batch as `random_batch` makes it."""
        inputs = prepared(self.graph, raw)
        return self.model(raw if self.bytes_last else inputs), self.reference(inputs)


def check_numbers(
    comparison: Comparison,
    *,
    batches: Sequence[int] = BATCHES,
    name: str = "numbers",
    samples: Pixels | None = None,
) -> Check:
    """The largest difference between the two sides, relative to the largest magnitude of each output.

    `samples` are images to use instead of noise.
    """
    worst, magnitude = 0.0, 0.0
    for seed, count in enumerate(batches):
        if samples is None:
            raw = random_batch(comparison.graph, count, seed)
        else:
            raw = samples[np.arange(count) % len(samples)]
        for ours, theirs in zip(*comparison.outputs(raw), strict=True):
            if ours.shape != theirs.shape:
                return Check(name, False, f"the shape is {ours.shape} instead of {theirs.shape} at batch {count}")
            if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
                return Check(name, False, f"the outputs are not finite at batch {count}", float("inf"))
            largest = float(np.abs(theirs).max())
            difference = float(np.abs(ours - theirs).max())
            magnitude = max(magnitude, largest)
            if difference > worst * largest:
                worst = difference / largest if largest else float("inf")
    listed = ", ".join(map(str, batches))
    detail = f"largest difference {worst:.1e} of the output's largest magnitude, {magnitude:.3g}, at batches {listed}"
    tolerance = comparison.tolerance
    return Check(name, worst <= tolerance, f"{detail} (at most {tolerance:.0e})", worst)


def check_agreement(
    comparison: Comparison,
    images: NDArray[np.float32] | Pixels,
    *,
    least: float = AGREEMENT,
    tie: float = 0.0,
    batch: int = 32,
) -> Check:
    """How often both sides name the same most probable class, over `images` as `random_batch` gives them.

    Where they do not, but to the reference both classes are within `tie` of the output's largest magnitude, that is a
    tie and counts as the same: noise lies between classes, and images do not.
    """
    same = ties = 0
    count = len(images) // batch * batch  # whole batches, for models of a fixed batch
    for start in range(0, count, batch):
        (got, *_), (wanted, *_) = comparison.outputs(images[start : start + batch])
        theirs = wanted[np.arange(batch), got.argmax(1)]  # what the reference gives to the class that the model names
        equal = got.argmax(1) == wanted.argmax(1)
        same += int(equal.sum())
        ties += int((~equal & (theirs >= wanted.max(1) - tie * np.abs(wanted).max())).sum())
    share = (same + ties) / count
    counts = f"{same} of {count} images" + (f" and {ties} tie{'s' * (ties > 1)}" if ties else "")
    return Check("top-1 agreement", share >= least, f"{counts}, {share:.2%} (at least {least:.0%})", share)
