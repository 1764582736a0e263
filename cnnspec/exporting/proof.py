"""The proof that a lowered network is the network: its numbers against torch's, and its graph at another size."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cnnspec.errors import SpecError, UsageError
from cnnspec.exporting.in_torch import scaled_statistics, torch_run
from cnnspec.exporting.reference import beside_torch
from cnnspec.exporting.subject import macs
from cnnspec.graph import Graph
from cnnspec.onnx_backend import verify
from cnnspec.onnx_backend.initial import varied_weights
from cnnspec.onnx_backend.lower import lower, select_outputs
from cnnspec.onnx_backend.verify import Check, Comparison
from cnnspec.ops import Shape, show_shape
from cnnspec.scoring.samples import real_images
from cnnspec.tasks import Answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx import ModelProto

    from cnnspec.exporting.draft import Draft
    from cnnspec.exporting.subject import Weights
    from cnnspec.onnx_backend.verify import Pixels

__all__ = ["batches_for", "check_sizes", "compare_classes", "prove"]

MOST_MACS: Final = 10**12  # multiply-accumulates of one batch that is compared


def prove(draft: Draft, report: Callable[[str], None]) -> Draft:
    """The draft compared with torch: on noise, on real images, with other weights, and at another size.

    Where the weights are random, the other ones show more, and they are compared at every batch size.
    Raises VerificationError where the numbers differ, and MissingExtraError without torch.
    """
    report("comparing with torch")
    subject, graph, lowering = draft.subject, draft.graph, draft.options.lowering
    weights = subject.weights
    batches, left_out = batches_for(graph, lowering.batch)
    comparison = _beside_torch(draft, draft.model, weights)
    checks = [verify.check_numbers(comparison, batches=batches if subject.trained else batches[:2])]
    images = real_images(subject.run) if subject.run is not None else None
    if images is not None:
        checks.append(verify.check_numbers(comparison, batches=batches[-1:], samples=images, name="real images"))
    if not subject.trained:
        del comparison  # it holds the weights twice, which may be gigabytes
        weights = _other_weights(graph, weights)
        comparison = _beside_torch(draft, lower(graph, weights, lowering), weights)
        checks.append(verify.check_numbers(comparison, batches=batches, name="other weights and statistics"))
    if lowering.half or images is not None:
        checks += compare_classes(comparison, images, batches[-1], draft.answers)
    if lowering.dynamic_size:
        grown = _with_outputs(subject.network.at_size(_other_size(graph.input_shape)).graph, graph.outputs)
        reference = torch_run(grown, weights, softmax=lowering.softmax)
        larger = replace(comparison, reference=reference, graph=grown)
        name = f"another size, {show_shape(grown.input_shape)}"
        checks.append(verify.check_numbers(larger, batches=(lowering.batch or 2,), name=name))
    return draft.checked(*checks, *left_out)


def _beside_torch(draft: Draft, model: ModelProto, weights: Weights) -> Comparison:
    """A model of the draft's network with these weights, beside that network in torch."""
    lowering = draft.options.lowering
    return beside_torch(
        model.SerializeToString(),
        f"the export of {draft.graph.name}",
        draft.graph,
        weights,
        half=lowering.half,
        bytes_last=lowering.preprocess,
        softmax=lowering.softmax,
    )


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
    each = macs(graph)
    left_out = [size for size in verify.BATCHES[2:] if size * each > MOST_MACS]
    taken = tuple(size for size in verify.BATCHES if size not in left_out)
    if not left_out:
        return taken, []
    why = f"not compared: more than {MOST_MACS:,} multiply-accumulates each"
    return taken, [verify.unchecked(f"batches {', '.join(map(str, left_out))}", why)]


def compare_classes(
    comparison: Comparison, images: Pixels | None, batch: int, answers: Answers | None, *, rounded: bool = False
) -> list[Check]:
    """The most probable class, on real images or else on noise. Nothing where the network gives no classes.

    On noise, and where the results are `rounded` to bytes, classes that are closer than the tolerance are a tie.
    """
    graph, tolerance = comparison.graph, comparison.tolerance
    if answers is None or answers.task != "classification" or len(graph.output_shape) != 1:
        return []
    samples = images[: max(batch, 4 * MOST_MACS // max(1, macs(graph)))] if images is not None else None
    if samples is not None and len(samples) < batch:
        detail = f"not compared: {len(samples)} images, and batches are of {batch}"
        return [verify.unchecked("top-1 agreement", detail)]
    return [
        verify.check_agreement(
            comparison,
            samples if samples is not None else verify.random_batch(graph, 4 * batch, 7),
            least=1.0 if tolerance == verify.TOLERANCES["fp32"] else verify.AGREEMENT,
            tie=tolerance if samples is None or rounded else 0.0,
            batch=batch,
        )
    ]


def check_sizes(draft: Draft) -> Check:
    """Whether the model is the same when the network is worked out for another image size. Raises UsageError if not."""
    subject, here = draft.subject, draft.subject.network.graph.input_shape
    if len(here) == 1:
        raise UsageError("--size dynamic: the input has features only, and no axis that could be of another size")
    shape = _other_size(here)
    try:
        grown = subject.network.at_size(shape).graph
    except SpecError as error:
        raise UsageError(f"--size dynamic: the network does not take {show_shape(shape)}: {error.message}") from None
    other = _with_outputs(grown, draft.graph.outputs)
    if len(other) != len(draft.graph):
        raise UsageError(f"--size dynamic: at {show_shape(shape)} the network has other layers")
    ours, theirs = subject.network.graph.state_shapes(), other.state_shapes()
    for key, size in theirs.items():
        if ours.get(key) != size:
            raise UsageError(
                f"--size dynamic: `{key}` is {show_shape(ours[key])} at {show_shape(here)},"
                f" and {show_shape(size)} at {show_shape(shape)}",
                hint="a global or an adaptive pool before the linear layers makes a network free of the image's size",
            )
    model, again = draft.model.graph, lower(other, subject.weights, draft.options.lowering).graph
    constants = {tensor.name: tensor for tensor in again.initializer}
    bound = [one.name for one, two in zip(model.node, again.node, strict=False) if one != two]
    bound += [tensor.name for tensor in model.initializer if tensor != constants.get(tensor.name)]
    if bound or len(model.node) != len(again.node):
        layer = bound[0].partition("/")[0] if bound else "the graph"
        raise UsageError(
            f"--size dynamic: `{layer}` is written differently at {show_shape(here)} and at {show_shape(shape)}",
            hint="without --size dynamic the file is for one size, and `--input` says which",
        )
    return Check("dynamic size", True, f"the same graph at {show_shape(here)} and {show_shape(shape)}")


def _other_size(shape: Shape) -> Shape:
    """Another size, larger by steps that keep what is divisible by 32 so, and not square."""
    return (shape[0], *(size + 32 * (axis + 1) for axis, size in enumerate(shape[1:])))


def _with_outputs(graph: Graph, outputs: tuple[str, ...]) -> Graph:
    """The part of a graph that these outputs need."""
    return select_outputs(replace(graph, outputs=outputs))
