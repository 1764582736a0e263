"""Orders of more axes than the language has, as parts that change places."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cnnspec.foreign.fold_shapes import exchanges


@given(st.data())
def test_axes_come_into_order_by_exchanges_of_four_axes(data: st.DataObject) -> None:
    sizes = tuple(data.draw(st.lists(st.integers(1, 3), min_size=2, max_size=7)))
    order = data.draw(st.permutations(range(len(sizes))))
    numbers = np.arange(2 * np.prod(sizes))
    wanted = numbers.reshape(2, *sizes).transpose(0, *(axis + 1 for axis in order)).reshape(-1)
    for each in exchanges(sizes, order):
        assert len(each.shape) <= 4
        numbers = numbers.reshape(2, *each.shape).transpose(each.permute.dims)
        assert numbers.shape == (2, *each.given)
    assert np.array_equal(numbers.reshape(-1), wanted)
