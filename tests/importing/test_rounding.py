"""What two sums may differ by: what float32 rounds passes, and a sum of other terms does not."""

from __future__ import annotations

import numpy as np
import pytest

import cnnspec
from cnnspec.importing.proof import allowed, difference


@pytest.mark.parametrize("side", [14, 56, 112])
def test_sums_one_after_the_other_pass_and_other_divisors_do_not(side: int) -> None:
    (node,) = cnnspec.loads(f"{{cnnspec: 1, input: [4, {side}, {side}], layers: [AdaptiveAvgPool2d(1)]}}").graph
    maps = np.random.default_rng(0).uniform(0, 1, (4, side * side)).astype(np.float32)
    exact = maps.astype(np.float64).mean(1).astype(np.float32)
    in_turn = np.cumsum(maps, 1, dtype=np.float32)[:, -1] / np.float32(side * side)
    assert difference(exact, in_turn) <= allowed(node)
    assert difference(exact, exact * np.float32(side**2 / (side**2 - 1))) > allowed(node)
