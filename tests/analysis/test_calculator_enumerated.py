"""Small questions to the calculator, enumerated for every operator: its answers are what torch does, all of them."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import torch
from torch_sizes import torch_size

from cnnspec.analysis.calculator import calculate
from cnnspec.analysis.layer_sizes import Layer
from cnnspec.errors import CnnspecError, UsageError

# None: the argument is left out. The kernels go beyond the inputs.
VALUES: dict[str, tuple[Any, ...]] = {
    "input": (1, 2, 3, 4, 5, 6, 7, 8),
    "kernel_size": (1, 2, 3, 4, 5, 6, 7, 8),
    "stride": (None, 1, 2, 3, 4, 5),
    "padding": (0, 1, 2, 3),
    "dilation": (1, 2, 3, 4),
    "output_padding": (0, 1, 2, 3),
    "ceil_mode": (False, True),
}
ARGUMENTS = {
    "Conv": ("kernel_size", "stride", "padding", "dilation"),
    "ConvTranspose": ("kernel_size", "stride", "padding", "dilation", "output_padding"),
    "MaxPool": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "AvgPool": ("kernel_size", "stride", "padding", "ceil_mode"),
    "LPPool": ("kernel_size", "stride", "ceil_mode"),
}
OPERATORS = [f"{family}{rank}d" for family in ARGUMENTS for rank in (1, 2, 3)]
UNKNOWNS = ("input", "kernel_size", "stride", "padding", "dilation")

Case = dict[str, Any]


def cases(op: str, least: int, rng: Random) -> Iterator[Case]:
    """Combinations of small arguments: all of them, or a sample of `least`."""
    names = ("input", *ARGUMENTS[op[:-2]])
    every = list(itertools.product(*(VALUES[name] for name in names)))
    for values in rng.sample(every, min(least, len(every))):
        yield dict(zip(names, values, strict=True))


class Torch:
    """What torch gives for one operator, each case once, the same on all axes."""

    def __init__(self, op: str) -> None:
        self.op = op
        self.known: dict[tuple[Any, ...], int | None] = {}

    def out(self, case: Case) -> int | None:
        key = tuple(case.values())
        if key not in self.known:
            arguments = {name: value for name, value in case.items() if name != "input" and value is not None}
            found = torch_size(self.op, (case["input"],) * int(self.op[-2]), arguments)
            assert found is None or len(set(found)) == 1
            self.known[key] = found[0] if found else None
        return self.known[key]


def ask(op: str, case: Case, unknown: str | None = None, wanted: int | None = None) -> Layer:
    given = {
        name: value if isinstance(value, bool) else (value,)
        for name, value in case.items()
        if name not in ("input", unknown) and value is not None
    }
    size = None if unknown == "input" else (case["input"],)
    return Layer(op, given, size, None if wanted is None else (wanted,))


def solutions(layer: Layer, unknown: str) -> list[int]:
    """Those of the values that are tried which the calculator names, the same on all axes."""
    try:
        (solution,) = calculate([layer]).steps[0].solutions
    except UsageError:
        raise
    except CnnspecError:
        return []
    assert solution.unknown == unknown
    ((first, last),) = set(solution.ranges)
    return [n for n in VALUES[unknown] if n is not None and first <= n and (last is None or n <= last)]


def check(op: str, forwards: int, backwards: int) -> tuple[int, int]:
    """Compare so many cases in both directions; how many questions had an answer, and how many had none."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # pytest restores the filters
    rng, truth = Random(op), Torch(op)
    answered = refused = 0
    for case in cases(op, forwards, rng):
        expected = truth.out(case)
        try:
            found: int | None = calculate([ask(op, case)]).steps[0].output[0]
        except CnnspecError:
            found = None
        assert found == expected, (op, case)
        answered, refused = answered + (found is not None), refused + (found is None)
    for case in cases(op, backwards, rng):
        for unknown in UNKNOWNS:
            # A stride that is left out is solved for, but for a pool's with an unknown kernel, which it follows.
            follows = op[:4] != "Conv" and unknown in ("input", "kernel_size")
            if unknown not in case or (case["stride"] is None and not follows):
                continue
            outs = {value: truth.out({**case, unknown: value}) for value in VALUES[unknown] if value is not None}
            for wanted in (1, 2, 3, 4, 6):
                right = [value for value, out in outs.items() if out == wanted]
                assert solutions(ask(op, case, unknown, wanted), unknown) == right, (op, case, unknown, wanted)
                answered, refused = answered + bool(right), refused + (not right)
    return answered, refused


@pytest.mark.parametrize("op", OPERATORS)
def test_answers_are_what_torch_does(op: str) -> None:
    answered, refused = check(op, 250, 20)
    assert min(answered, refused) >= 70


@pytest.mark.long
@pytest.mark.parametrize("op", OPERATORS)
def test_all_answers_are_what_torch_does(op: str) -> None:
    answered, refused = check(op, 10_000, 600)
    assert min(answered, refused) >= 500


def test_a_mean_over_three_axes_wants_an_input_as_large_as_its_window() -> None:
    (step,) = calculate([Layer("avg_pool3d", {"stride": 4, "ceil_mode": True}, (4,), (1,))]).steps
    assert step.solutions[0].ranges == ((1, 4),) * 3
    (step,) = calculate([Layer("avg_pool2d", {"stride": 4, "ceil_mode": True}, (4,), (1,))]).steps
    assert step.solutions[0].ranges == ((1, 7),) * 2
    (step,) = calculate([Layer("avg_pool3d", {"kernel_size": 3, "stride": 5, "ceil_mode": True}, None, (1,))]).steps
    assert step.solutions[0].ranges == ((3, 5),) * 3


def test_kernels_between_two_reasons_for_which_torch_refuses_the_others() -> None:
    """A kernel has to be twice the padding, and on three axes no larger than the input."""
    arguments = {"stride": 7, "padding": 2, "ceil_mode": False}
    (step,) = calculate([Layer("avg_pool3d", arguments, (5,), (1,))]).steps
    assert step.solutions[0].ranges == ((4, 5),) * 3
    with pytest.raises(CnnspecError, match="no kernel_size gives 1x1x1"):
        calculate([Layer("avg_pool3d", arguments, (3,), (1,))])


def test_layers_in_a_row_are_solved_by_the_rules_of_their_rank() -> None:
    rng = Random(2)
    solved = 0
    for _ in range(150):
        ops = [rng.choice(("AvgPool3d", "LPPool3d", "MaxPool3d", "Conv3d")) for _ in range(2)]
        rows = [next(cases(op, 1, rng)) for op in ops]
        wanted = rng.choice((1, 2, 3))
        right = []
        for size in VALUES["input"]:
            out: int | None = size
            for op, row in zip(ops, rows, strict=True):
                out = Torch(op).out({**row, "input": out}) if out else None
            right += [size] if out == wanted else []
        layers = [ask(op, row, "input") for op, row in zip(ops, rows, strict=True)]
        layers[1] = ask(ops[1], rows[1], "input", wanted)
        try:
            (solution,) = calculate(layers).solutions
        except CnnspecError:
            assert right == [], (ops, rows, wanted)
            continue
        ((first, last),) = set(solution.ranges)
        assert right == [n for n in VALUES["input"] if first <= n and (last is None or n <= last)], (ops, rows, wanted)
        solved += 1
    assert solved >= 30
