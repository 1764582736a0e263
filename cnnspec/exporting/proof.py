"""The proof that a lowered network is the network: its numbers against torch's, and its graph at another size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from onnx import ModelProto

from cnnspec.errors import SpecError, UsageError
from cnnspec.exporting.reference import onnx_run, scaled_statistics, torch_run
from cnnspec.graph import Graph
from cnnspec.onnx_backend import verify
from cnnspec.onnx_backend.fold import fold_batch_norms
from cnnspec.onnx_backend.initial import varied_weights
from cnnspec.onnx_backend.lower import Lowering, lower, select_outputs
from cnnspec.onnx_backend.verify import Check
from cnnspec.ops import Shape, show_shape
from cnnspec.scoring.samples import real_images

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from cnnspec.exporting.subject import Subject, Weights

__all__ = ["batches_for", "check_sizes", "compare", "compare_classes", "lower_network"]

MOST_MACS: Final = 10**12  # multiply-accumulates of one batch that is compared


def lower_network(graph: Graph, weights: Weights, lowering: Lowering, *, fold: bool) -> tuple[ModelProto, Graph]:
    """The model, and the graph that it shows: with `fold`, without the batch norms that could be folded."""
    if fold:
        graph, weights = fold_batch_norms(graph, weights)
    return lower(graph, weights, lowering), graph


def compare(subject: Subject, graph: Graph, model: ModelProto, lowering: Lowering, *, fold: bool) -> list[Check]:
    """The model's numbers against torch's: on noise, on real images, with other weights, and at another size.

    Where the weights are random, the other ones show more, and they are compared at every batch size.
    """
    batches, left_out = batches_for(graph, lowering.batch)
    common: dict[str, Any] = {
        "tolerance": verify.TOLERANCES["fp16" if lowering.half else "fp32"],
        "bytes_last": lowering.preprocess,
    }
    shown, weights, softmax = f"the export of {graph.name}", subject.weights, lowering.softmax
    ours, reference = onnx_run(model.SerializeToString(), shown), torch_run(graph, weights, softmax=softmax)
    own = batches if subject.trained else batches[:2]
    checks = [verify.check_numbers(ours, reference, graph, batches=own, **common)]
    images = real_images(subject.run) if subject.run is not None else None
    if images is not None:
        last = batches[-1:]
        checks.append(
            verify.check_numbers(ours, reference, graph, batches=last, samples=images, name="real images", **common)
        )
    if not subject.trained:
        del ours, reference  # both hold the weights, which may be gigabytes
        weights = _other_weights(graph, weights)
        other, _ = lower_network(graph, weights, lowering, fold=fold)
        ours, reference = (
            onnx_run(other.SerializeToString(), shown),
            torch_run(graph, weights, softmax=lowering.softmax),
        )
        name = "other weights and statistics"
        checks.append(verify.check_numbers(ours, reference, graph, batches=batches, name=name, **common))
    if lowering.half or images is not None:
        checks += compare_classes(ours, reference, graph, images, batches[-1], **common)
    if lowering.dynamic_size:
        grown = _with_outputs(subject.at_size(_other_size(graph.input_shape)), graph.outputs)
        reference = torch_run(grown, weights, softmax=softmax)
        name = f"another size, {show_shape(grown.input_shape)}"
        batch = (lowering.batch or 2,)
        checks.append(verify.check_numbers(ours, reference, grown, batches=batch, name=name, **common))
    return [*checks, *left_out]


def _other_weights(graph: Graph, weights: Weights) -> Weights:
    """Random weights that show more than fresh ones."""
    images = verify.prepared(graph, verify.random_batch(graph, 2, len(verify.BATCHES)))  # none that is compared
    return scaled_statistics(graph, varied_weights(graph, weights), images)


def batches_for(graph: Graph, batch: int | None) -> tuple[tuple[int, ...], list[Check]]:
    """The batch sizes to compare at (`batch` if the model prescribes one), and a line about those that are left out.

    The first two are always compared; others only where they do not take minutes.
    """
    if batch is not None:
        return (batch,), []
    macs = _macs(graph)
    left_out = [size for size in verify.BATCHES[2:] if size * macs > MOST_MACS]
    taken = tuple(size for size in verify.BATCHES if size not in left_out)
    if not left_out:
        return taken, []
    why = f"not compared: more than {MOST_MACS:,} multiply-accumulates each"
    return taken, [verify.unchecked(f"batches {', '.join(map(str, left_out))}", why)]


def compare_classes(
    ours: verify.Run,
    reference: verify.Run,
    graph: Graph,
    images: NDArray[np.uint8] | None,
    batch: int,
    *,
    tolerance: float,
    bytes_last: bool,
    rounded: bool = False,
) -> list[Check]:
    """The most probable class, on real images or else on noise. Nothing where the network gives no classes.

    On noise, and where the results are `rounded` to bytes, classes that are closer than the tolerance are a tie.
    """
    if len(graph.output_shape) != 1:
        return []
    seen = images[: max(batch, 4 * MOST_MACS // max(1, _macs(graph)))] if images is not None else None
    if seen is not None and len(seen) < batch:
        return [verify.unchecked("top-1 agreement", f"not compared: {len(seen)} images, and batches are of {batch}")]
    return [
        verify.check_agreement(
            ours,
            reference,
            graph,
            seen if seen is not None else verify.random_batch(graph, 4 * batch, 7),
            least=1.0 if tolerance == verify.TOLERANCES["fp32"] else verify.AGREEMENT,
            tie=tolerance if seen is None or rounded else 0.0,
            bytes_last=bytes_last,
            batch=batch,
        )
    ]


def _macs(graph: Graph) -> int:
    return sum(node.op.macs(*node.input_shapes) for node in graph)


def check_sizes(subject: Subject, model: ModelProto, lowering: Lowering, *, fold: bool) -> Check:
    """Whether the model is the same when the network is worked out for another image size."""
    name = "dynamic size"
    here = subject.graph.input_shape
    if len(here) == 1:
        raise UsageError("--size dynamic: the input has features only, and no axis that could be of another size")
    shape = _other_size(here)
    try:
        grown = subject.at_size(shape)
    except SpecError as error:
        raise UsageError(f"--size dynamic: the network does not take {show_shape(shape)}: {error.message}") from None
    outputs = tuple(output.name.partition("/")[0] for output in model.graph.output)
    other = _with_outputs(grown, outputs)
    if len(other) != len(_with_outputs(subject.graph, outputs)):
        raise UsageError(f"--size dynamic: at {show_shape(shape)} the network has other layers")
    ours, theirs = subject.graph.state_shapes(), other.state_shapes()
    for key, size in theirs.items():
        if ours.get(key) != size:
            raise UsageError(
                f"--size dynamic: `{key}` is {show_shape(ours[key])} at {show_shape(here)},"
                f" and {show_shape(size)} at {show_shape(shape)}",
                hint="a global or an adaptive pool before the linear layers makes a network free of the image's size",
            )
    again, _ = lower_network(other, subject.weights, lowering, fold=fold)
    constants = {tensor.name: tensor for tensor in again.graph.initializer}
    bound = [one.name for one, two in zip(model.graph.node, again.graph.node, strict=False) if one != two]
    bound += [tensor.name for tensor in model.graph.initializer if tensor != constants.get(tensor.name)]
    if bound or len(model.graph.node) != len(again.graph.node):
        layer = bound[0].partition("/")[0] if bound else "the graph"
        raise UsageError(
            f"--size dynamic: `{layer}` is written differently at {show_shape(here)} and at {show_shape(shape)}",
            hint="without --size dynamic the file is for one size, and `--input` says which",
        )
    return Check(name, True, f"the same graph at {show_shape(here)} and {show_shape(shape)}")


def _other_size(shape: Shape) -> Shape:
    """Another size, larger by steps that keep what is divisible by 32 so, and not square."""
    return (shape[0], *(size + 32 * (axis + 1) for axis, size in enumerate(shape[1:])))


def _with_outputs(graph: Graph, outputs: tuple[str, ...]) -> Graph:
    """The part of a graph that these outputs need."""
    return select_outputs(replace(graph, outputs=outputs))
