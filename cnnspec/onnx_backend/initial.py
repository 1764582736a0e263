"""Random weights for a network that has not been trained, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cnnspec.graph import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["initial_weights", "varied_weights"]

COUNTER: Final = "num_batches_tracked"  # the only whole number in a state_dict


def initial_weights(graph: Graph, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Weights by `state_dict` name, drawn from the distributions that torch's layers start from (not its numbers).

    Convolutions and linear layers: uniform within `1/√fan_in`. Normalisation: 1 and 0, mean 0, variance 1.
    """
    random = np.random.default_rng(seed)
    state: dict[str, NDArray[Any]] = {}
    for node in graph:
        for key, shape in node.tensors.items():
            name, start = node.tensor_name(key), node.op.initial(key, *node.input_shapes)
            if start.spread:
                even = random.random(shape, np.float32) * 2 - 1
                state[name] = even * np.float32(start.spread) + np.float32(start.value)
            else:
                state[name] = np.full(shape, start.value, np.int64 if key == COUNTER else np.float32)
    return state


def varied_weights(graph: Graph, weights: Mapping[str, NDArray[Any]], seed: int = 0) -> dict[str, NDArray[Any]]:
    """The same weights, made harder to be right with by accident.

    A fresh network's statistics, gains and shifts are 0 and 1, which would hide one in the wrong place: here they are
    random, for a signal with a mean square of 1. Shifts of up to a half keep images that are alike so; without them a
    deep random network magnifies rounding as it magnifies every difference (Schoenholz et al. 2017, Deep information
    propagation). And its layers make the signal smaller and smaller: here their weights are those of He et al. 2015,
    with the variance `2/fan_in`, which is 6 times that of torch's.
    """
    random = np.random.default_rng(seed)
    state = dict(weights)
    for node in graph:
        for key, shape in node.tensors.items():
            name, start = node.tensor_name(key), node.op.initial(key, *node.input_shapes)
            if start.spread and key == "weight":
                state[name] = state[name] * np.float32(6**0.5)
            elif start.neutral:
                spread = random.random(shape, np.float32)
                if key != COUNTER:
                    state[name] = spread / 2 + np.float32(0.75) if start.value else spread - np.float32(0.5)
    return state
