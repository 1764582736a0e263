"""Every operator as source, in each place where one can stand: its rows in `tests/ops/cases.py` as small networks."""

from __future__ import annotations

import json
import warnings
from contextlib import suppress
from typing import Any

import pytest
from cases import ROWS, Row

import cnnspec
from cnnspec.codegen.expressions import UnsayableError
from cnnspec.codegen.write import flat_source, spec_source
from cnnspec.language import Network
from cnnspec.ops import operators
from cnnspec.torch_backend.same_code import check_code

EQUAL = 3  # checks: the tensors, the outputs in evaluation, and in training

Spec = dict[str, Any]


def spec(row: Row, layers: Any, blocks: Spec | None = None) -> Network:
    """A network whose input has all that the shapes of a row have."""
    _, shapes = row
    largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    text = json.dumps({"cnnspec": 1, "name": "net", "input": largest, "blocks": blocks or {}, "layers": layers})
    return cnnspec.loads(text, path="net.json")


def reads(shapes: tuple[tuple[int, ...], ...]) -> Spec:
    """Layers that give these shapes, `read0`, `read1`, …: as much of the input as they want."""
    largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
    layers: Spec = {}
    for number, shape in enumerate(shapes):
        read = "input"
        for axis, (size, most) in enumerate(zip(shape, largest, strict=True)):
            if size < most:
                name = f"cut{number}_{axis}"
                layers[name] = {"type": "Slice", "start": number % (most - size + 1), "dim": axis + 1, "in": read}
                layers[name]["end"] = layers[name]["start"] + size
                read = name
        layers[f"read{number}"] = {"type": "Sigmoid", "in": read}
    return layers


def networks(name: str, row: Row) -> dict[str, Network]:
    """An operator under a name, in a list, and in a block whose parameters are its arguments."""
    args, shapes = row
    names = [f"read{number}" for number in range(len(shapes))]
    named = {**reads(shapes), "op": {"type": name, **args, "in": names}, "__end": "Tanh"}
    found = {"by name": spec(row, named)}
    words = {key for key, value in args.items() if isinstance(value, str)}
    given = {key: value for key, value in args.items() if key not in words}
    block = {
        "inputs": [f"r{number}" for number in range(len(shapes))],
        "params": {f"p_{key}": value for key, value in given.items()},
        "layers": {
            "op": {
                "type": name,
                **{key: f"p_{key}" for key in given},
                **{key: args[key] for key in words},
                "in": [f"r{number}" for number in range(len(shapes))],
            }
        },
    }
    call = {"type": "B", **{f"p_{key}": value for key, value in given.items()}, "in": names}
    found["in a block"] = spec(row, {**reads(shapes), "b": call}, {"B": block})
    if operators()[name][0].arity == (1, 1):
        found["in a list"] = spec(row, ["Sigmoid", {"type": name, **args}, "Tanh"])
    return found


def check(name: str, rows: list[Row]) -> set[str]:
    """The places in which an operator can be said with a spec's own blocks."""
    said = set()
    with warnings.catch_warnings(action="ignore"):  # torch's, of even kernels
        for row in rows:
            for place, network in networks(name, row).items():
                with suppress(UnsayableError):
                    assert len(check_code(spec_source(network), network.graph)) == EQUAL
                    said.add(place)
            assert len(check_code(flat_source(network.graph), network.graph)) == EQUAL
    return said


@pytest.mark.parametrize("name", ROWS)
def test_it_is_equal_bit_for_bit_wherever_it_stands(name: str) -> None:
    assert check(name, ROWS[name][:1]) >= {"by name", "in a block"}


@pytest.mark.long
@pytest.mark.parametrize("name", ROWS)
def test_so_is_each_of_its_rows(name: str) -> None:
    assert check(name, ROWS[name][1:]) >= {"by name", "in a block"}


def test_all_of_them_are_there() -> None:
    assert ROWS.keys() == operators().keys()
