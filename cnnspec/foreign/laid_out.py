"""Tensors of a source as they lie here."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

from cnnspec.foreign.network import Filled, Reference
from cnnspec.ops import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["laid_out", "shape_here"]


def laid_out(references: Mapping[str, Reference], tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The tensors that references name, by the keys of these; `tensors` has the source's by its own."""
    return {key: _one(reference, tensors) for key, reference in references.items()}


def _one(reference: Reference, tensors: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    import numpy as np

    if isinstance(reference, Filled):
        return np.full(reference.shape, reference.value, np.float32)
    array = tensors[reference.key]
    if reference.view is not None:
        array = array.reshape(reference.view)
    if reference.order is not None:
        array = array.transpose(reference.order)
    if reference.shape is not None:
        array = array.reshape(reference.shape)
    return array


def shape_here(reference: Reference, tensors: Mapping[str, Shape]) -> Shape | None:
    """The shape that a tensor has here; None where the source does not tell it, or it cannot lie so."""
    if isinstance(reference, Filled):
        return reference.shape
    shape = tensors.get(reference.key)
    if shape is None:
        return None
    for seen in (reference.view, reference.shape):
        if seen is not None and prod(seen) != prod(shape):
            return None
    shape = reference.view or shape
    if reference.order is not None and len(reference.order) != len(shape):
        return None
    if reference.shape is not None:
        return reference.shape
    return shape if reference.order is None else tuple(shape[axis] for axis in reference.order)
