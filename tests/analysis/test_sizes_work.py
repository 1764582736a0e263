"""How many inputs `sizes` tries: thousands of a network of few steps, fewer of one of many."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from cnnspec.analysis import sizes as module
from cnnspec.analysis.check import check
from cnnspec.analysis.sizes import sizes
from cnnspec.analysis.skeleton import Seen, Skeleton
from cnnspec.errors import CnnspecError
from cnnspec.language import Source, read_spec

MANY = "cnnspec: 1\ninput: [1, 20000]\nlayers:\n  - Conv1d(1, 3, stride=1) * 300\n  - Linear(in_features // 2)\n"


def worked_out(text: str, most: int) -> int:
    """How many times the spec is worked out until `sizes` gives up."""
    with (
        patch.object(Source, "outcome", autospec=True, side_effect=Source.outcome) as outcome,
        pytest.raises(CnnspecError, match="for thousands of sizes to be tried"),
    ):
        sizes(read_spec("net.yaml", text.encode()), most_work=most)
    return outcome.call_count


def test_a_network_of_many_layers_is_not_worked_out_thousands_of_times() -> None:
    assert worked_out(MANY, 10 * module.ANEW * 301) == 11


def test_sizes_that_are_no_work_are_all_tried() -> None:
    text = "cnnspec: 1\ninput: [1, 5000]\nlayers:\n  - Conv1d(1, 3)\n"
    found = sizes(read_spec("net.yaml", text.encode()), span=(1, 4000))
    assert found.axes[0].span == (1, 4000)


def test_check_looks_for_few_smallest_inputs() -> None:
    variants = "".join(f"  v{n}: {{n: {n}}}\n" for n in range(12))
    layers = "".join(f'  - "MaxPool2d(9) if n == {n}"\n' for n in range(12))
    text = f"cnnspec: 1\ninput: [3, 8, 8]\nparams: {{n: 0}}\nvariants:\n{variants}layers:\n{layers}"
    found = check(read_spec("net.yaml", text.encode())).diagnostics
    assert [diagnostic.code for diagnostic in found] == ["E201"] * 12
    assert sum("the smallest input is" in (diagnostic.help or "") for diagnostic in found) == 5


@pytest.mark.parametrize(
    "layers",
    ['{layers: ["Linear(65536)", "GroupNorm(1)"], repeat: 2501}', '"Upsample(size=101, mode=linear) * 5000"'],
)
def test_layers_that_take_their_width_or_size_anew_are_bounded_too(layers: str) -> None:
    text = f"cnnspec: 1\ninput: [12, 1013]\nlayers:\n  - LayerNorm\n  - {layers}\n"
    seen = Seen((12, 1013), frozenset(), ())  # to work it out at all of them takes most of a minute
    with (
        patch.object(Skeleton, "at", return_value=seen),
        pytest.raises(CnnspecError, match="for thousands of sizes to be tried"),
    ):
        sizes(read_spec("net.yaml", text.encode()))
