"""The proof that a spec is what its source computes. Nothing is written unless all of it holds.

The numbers are compared on noise, with the source's own tensors; those of them that have no effect yet (the gains,
shifts and statistics of fresh norms) are varied, or two of them could be confused unseen. Whole outputs are compared,
and every layer by itself, fed with what it reads in the source: networks that saturate or explode would fool the first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod, sqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.checks import Check, unchecked
from cnnspec.errors import CnnspecError
from cnnspec.foreign import Filled, Lifted, Reference, Stored
from cnnspec.foreign.laid_out import laid_out
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import Add, Concat, Mul
from cnnspec.ops.pool import AdaptiveAvgPool
from cnnspec.ops.reduce import Mean, Sum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnspec.importing.model import Model
    from cnnspec.torch_backend.parts import Parts

    Array = NDArray[Any]

__all__ = ["TOLERANCE", "allowed", "difference", "prove"]

TOLERANCE: Final = 1e-5  # of the largest magnitude of an output
_SUMS: Final = (AdaptiveAvgPool, Mean, Sum)
_SHOWN: Final = 4


def prove(
    model: Model, lifted: Lifted, written: Graph, names: Mapping[str, str], keys: Mapping[str, Reference]
) -> list[Check]:
    """Every check of a spec that comes to the graph `written`, in which the nodes of `lifted` have these `names`.

    `keys` are the tensors of the source by those of `written`.

    Raises MissingExtraError without torch.
    """
    assert lifted.graph is not None
    checks = [_text(lifted.graph, written, names), _tensors(lifted, model), _macs(written, model)]
    if not all(check.passed for check in checks):
        return checks
    if model.cannot_run is not None:
        return [*checks, unchecked("outputs", model.cannot_run)]
    from cnnspec.torch_backend.parts import Parts

    given = model.tensors()
    own = _varied(given)
    batch = np.random.default_rng(0).standard_normal((model.batch, *written.input_shape), np.float32)
    parts = Parts(written, laid_out(keys, own))
    whole = _outputs(parts.outputs(batch), _ran(model, own, batch))
    layers = _layers(model, lifted, names, own, batch, parts)
    if layers.passed and not whole.passed:  # with other norms, a deep network can make anything of what is rounded
        whole = _outputs(Parts(written, laid_out(keys, given)).outputs(batch), _ran(model, given, batch))
    return [*checks, whole, layers]


def _ran(model: Model, tensors: Mapping[str, Array], batch: NDArray[np.float32]) -> Sequence[Array]:
    """What the source gives. Raises CnnspecError where it fails: what runs it is not ours, and raises anything."""
    try:
        return model.outputs(tensors, batch)
    except CnnspecError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise CnnspecError(
            f"{model.network.name} cannot be run to compare it: {type(error).__name__}: {first:.200}",
            hint="it is run with noise in float32; what it computes in half precision is to be made float32 first",
        ) from error


def _text(graph: Graph, written: Graph, names: Mapping[str, str]) -> Check:
    """Whether the text comes to the same nodes: the same operators on the same values, under the names told."""
    here = {INPUT: INPUT, **names}
    wrong = []
    for node in graph:
        other = written.by_name.get(here[node.name])
        if isinstance(node.op, Concat):
            alike = _parts(written, here[node.name]) == tuple(here[part] for part in _parts(graph, node.name))
        elif other is None:
            alike = False
        else:
            reads, inputs = [here[name] for name in node.inputs], list(other.inputs)
            if isinstance(node.op, (Add, Mul)):
                reads, inputs = sorted(reads), sorted(inputs)
            alike = (node.op, node.shape, reads) == (other.op, other.shape, inputs)
        if not alike:
            wrong.append(node.name)
    wrong += [name for name in written.by_name if name not in set(names.values())]
    outputs = [tuple(here[name] for name in each) for each in (graph.outputs, graph.aux_outputs)]
    if wrong or outputs != [written.outputs, written.aux_outputs]:
        return Check("text", False, f"it does not come to the same layers: {', '.join(wrong[:_SHOWN]) or 'outputs'}")
    return Check("text", True, f"it comes to the same {len(written)} layers")


def _parts(graph: Graph, name: str) -> tuple[str, ...]:
    """What a value is put together of, through concatenations of concatenations."""
    node = graph.by_name.get(name)
    if node is None or not isinstance(node.op, Concat):
        return (name,)
    return tuple(part for read in node.inputs for part in _parts(graph, read))


def _tensors(lifted: Lifted, model: Model) -> Check:
    """Whether every tensor of the source is used, or listed."""
    left, there = lifted.left_over, model.network.tensors
    used = {each.key for each in lifted.weights.values() if isinstance(each, Stored)}
    filled = sum(isinstance(each, Filled) for each in lifted.weights.values())
    detail = f"{len(used & set(there))} of {len(there)} are used"
    if left:
        detail += f"; {len(left)} are not: {', '.join(left[:_SHOWN])}{', …' if len(left) > _SHOWN else ''}"
    if filled:
        detail += f"; {filled} that the source lacks {'is' if filled == 1 else 'are'} neutral"
    return Check("tensors", set(there) == (used | set(left)) & set(there), detail)


def _macs(graph: Graph, model: Model) -> Check:
    """Whether the spec costs what the source costs, counted there by other means."""
    ours, theirs = graph.network("inference").macs, model.macs
    if theirs is None:
        return unchecked("MACs", f"{ours:,}; the source has no count of its own")
    return Check("MACs", ours == theirs, f"{ours:,}" + (f" here, {theirs:,} in the source" if ours != theirs else ""))


def _varied(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """The tensors; those whose numbers are all alike get others near them, which stay positive where they are."""
    random = np.random.default_rng(1)
    varied = {}
    for key, array in tensors.items():
        varied[key] = array
        if array.dtype.kind == "f" and array.size and np.ptp(array) == 0:
            middle = float(array.flat[0])
            spread = np.asarray(random.uniform(-0.3, 0.3, array.shape), array.dtype)
            varied[key] = np.asarray(array + spread * (abs(middle) or 1))  # a number without axes would be no array
    return varied


def _outputs(ours: Sequence[Array], theirs: Sequence[Array]) -> Check:
    worst = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if one.shape != other.shape:
            return Check("outputs", False, f"the shape is {one.shape} here, and {other.shape} in the source")
        worst = max(worst, difference(one, other))
    return _judged("outputs", worst, "largest difference")


def _layers(
    model: Model,
    lifted: Lifted,
    names: Mapping[str, str],
    own: Mapping[str, Array],
    batch: NDArray[np.float32],
    parts: Parts,
) -> Check:
    """Every layer, fed with what it reads in the source. A layer whose input the source does not have reads ours."""
    graph = lifted.graph
    assert graph is not None
    last = {name: number for number, node in enumerate(graph) for name in node.inputs}
    known: dict[str, Array] = {INPUT: batch}
    worst, where, compared = 0.0, "", 0
    there = model.values(own, batch, {call for call in lifted.values.values() if call})
    given: dict[str, Array] = {}
    for number, node in enumerate(graph):
        ours = parts.layer(node, names[node.name], [known[name] for name in node.inputs])
        call = lifted.values[node.name]
        while call and call not in given:
            name, value = next(there)
            if value.dtype != np.float32:
                return Check("layers", False, f"the source computes `{name}` in {value.dtype}, and a spec in float32")
            given[name] = value
        known[node.name] = given.pop(call) if call else ours
        if call:
            compared += 1
            apart = difference(ours, known[node.name])
            apart *= TOLERANCE / allowed(node)
            if not apart <= worst:
                worst, where = apart, node.name
        for name in [*node.inputs, node.name]:
            if last.get(name, -1) <= number:
                known.pop(name, None)
    detail = f"{compared} of {len(graph)} fed with the source's own input, largest difference"
    return _judged("layers", worst, detail, where)


def allowed(node: Node) -> float:
    """What a layer may differ by, as a share of the largest magnitude.

    The error of a float32 sum of n terms grows as the root of n where its roundings are independent, and runtimes add
    in different orders (Higham 2002, Accuracy and Stability of Numerical Algorithms, 4.2).
    """
    if not isinstance(node.op, _SUMS):
        return TOLERANCE
    terms = prod(node.input_shapes[0]) / prod(node.shape)
    return max(TOLERANCE, 8 * sqrt(terms) * 2.0**-24)


def difference(ours: Array, theirs: Array) -> float:
    """The largest difference as a share of the largest magnitude; infinite where one is no number and the other is.

    The same infinity at the same place, as a padding before a max pool has it, is no difference.
    """
    if ours.shape != theirs.shape:
        return float("inf")
    endless = np.isinf(theirs)
    if endless.any() and np.array_equal(ours[endless], theirs[endless]):
        ours, theirs = ours[~endless], theirs[~endless]
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("inf")
    largest, apart = float(np.abs(theirs).max(initial=0)), float(np.abs(ours - theirs).max(initial=0))
    return apart / largest if largest else apart


def _judged(name: str, worst: float, detail: str, where: str = "") -> Check:
    place = f" at `{where}`" if where and worst > 0 else ""
    detail = f"{detail} {worst:.1e} of the largest magnitude{place} (at most {TOLERANCE:.0e})"
    return Check(name, worst <= TOLERANCE, detail, worst)
