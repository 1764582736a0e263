"""What only training has: a network that was read in both modes becomes one, with auxiliary heads and dropped paths."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

from cnnspec.foreign.network import Call, Network, Reference
from cnnspec.graph import INPUT
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.reshape import Identity

__all__ = ["with_training"]


def with_training(inference: Network, training: Network) -> Network | None:
    """The network as it is in training, with the outputs of inference; what else training gives are auxiliary heads.

    None where the outputs of inference are not worked out in training, so that no one network can be both.
    """
    numbers: dict[Hashable, int] = {}
    here, there = _numbered(inference, numbers), _numbered(training, numbers)
    by_number = {number: name for name, number in there.items()}  # the last: behind what only training does
    outputs = [by_number.get(here[name]) for name in inference.outputs]
    if None in outputs:
        return None
    given = {there[name]: name for name in training.outputs}
    found = tuple(given.get(here[name], by_number[here[name]]) for name in inference.outputs)
    aux = tuple(name for name in training.outputs if name not in found)
    notes = tuple(dict.fromkeys((*inference.notes, *training.notes)))
    return replace(training, outputs=found, aux_outputs=aux, notes=notes)


def _numbered(network: Network, numbers: dict[Hashable, int]) -> dict[str, int]:
    """A number for each call: two have the same only if they give the same at inference."""
    found = {INPUT: numbers.setdefault((INPUT, network.input_shape), len(numbers))}
    for call in network.calls:
        inputs = tuple(found[name] for name in call.inputs)
        if isinstance(call.op, (Dropout, StochasticDepth, Identity)):
            found[call.name] = inputs[0]
        else:
            found[call.name] = numbers.setdefault(_value(call, inputs), len(numbers))
    return found


def _value(call: Call, inputs: tuple[int, ...]) -> Hashable:
    weights: tuple[tuple[str, Reference], ...] = tuple(call.weights.items())
    return (call.op or (call.source_op, call.gap), inputs, weights, call.shape)
