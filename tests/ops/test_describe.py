"""What is said of an operator's arguments is what it takes."""

from __future__ import annotations

import re

import pytest
from cases import ROWS

from cnnspec.ops import ArgumentError, make_op, operators
from cnnspec.ops.describe import describe

BESIDE = {  # what goes with a probed argument, where not just anything does
    ("Hardtanh", "min_val"): {"max_val": 1e6},
    ("Hardtanh", "max_val"): {"min_val": -1e6},
    ("Upsample", "size"): {},
    ("Upsample", "scale_factor"): {},
    ("Upsample", "mode"): {"size": 2},
    ("Upsample", "align_corners"): {"size": 2, "mode": "bilinear"},
}
PROBES = (-6, -1, 0, 1, 6, 20_000, -0.5, 0.5, 1.5, 20_000.5, True, False, None, "same", "tanh", "zeros", "sam", "axis")
ROW = re.compile(r"^\| `(\w+)` +\| (\S+) +\| (.*?) +\|$", re.MULTILINE)


@pytest.mark.parametrize("name", sorted(operators()))
def test_every_operator_says_its_output_shape_and_all_of_its_arguments(name: str) -> None:
    text = describe(name)
    assert "->" in text or "Keeps the shape" in text
    fields = set(operators()[name][0].fields()) - {"rank"}
    assert {argument for argument, _, _ in ROW.findall(text)} == fields


def takes(said: str, value: object) -> bool:
    """Whether the page says that an argument takes this value."""
    if value is None or isinstance(value, (bool, str)):
        return f"`{value}`" in said
    kind = re.search(r"^a (whole )?number( above \S+?)?( from \S+?)?( up to \S+?)?(,| or |$)", said)
    if kind is None or (kind[1] and isinstance(value, float)):
        return False
    above, least, most = (bound and float(bound.split()[-1]) for bound in kind.groups()[1:4])
    assert isinstance(value, (int, float))
    return (above is None or value > above) and (least is None or value >= least) and (most is None or value <= most)


def accepts(name: str, argument: str, value: object) -> bool:
    """Whether the operator, in order otherwise, takes this value."""
    arguments = BESIDE.get((name, argument), ROWS[name][0][0])
    try:
        make_op(name, **{**arguments, argument: value})
    except ArgumentError:
        return False
    return True


def test_an_argument_takes_what_the_page_says_and_nothing_else() -> None:
    compared = 0
    for name in operators():
        for argument, default, said in ROW.findall(describe(name)):
            if said.startswith("follows") or (name, argument) == ("AvgPool1d", "divisor_override"):
                continue
            field = operators()[name][0].fields()[argument]
            assert default == ("required" if field.required else f"`{field.default}`")
            for value in PROBES:
                if value is None and BESIDE.get((name, argument)) == {}:  # the other of the two is then required
                    continue
                if value == 0 and argument in ("shape", "unflattened_size"):  # -1 is a size that follows, 0 is none
                    continue
                assert takes(said, value) == accepts(name, argument, value), (name, argument, said, value)
                compared += 1
            rank = operators()[name][1] or 2
            lists = {"one per axis": (1,) * rank, "a list of": (1,) * (2 * rank)}
            for words, listed in lists.items():
                if words in said:
                    assert accepts(name, argument, listed), (name, argument, said)
            if not any(words in said for words in lists):
                assert not accepts(name, argument, (1, 1)), (name, argument, said)
    assert compared > 2000
