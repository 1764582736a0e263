"""A network is one value: it is worked out again from what it carries, and its record says all that this takes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import pytest

import cnnspec
from cnnspec.errors import SpecError, UsageError
from cnnspec.language import Network, NetworkRecord, read_spec

TEXT = """
cnnspec: 1
name: net
params: {width: 4, depth: 1, wide: false, kernel: 3, other: null}
input: [1, 8, 8]
variants: {large: {width: 6}}
layers:
  conv: Conv2d(width * (2 if wide else 1), kernel) * depth
  pool: AdaptiveAvgPool2d(1)
  flat: Flatten
  fc: Linear(10)
"""


def width(network: Network) -> int:
    return network.graph.nodes[0].shape[0]


def test_other_parameters_read_no_file_again(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(TEXT)
    spec = cnnspec.load(path, variant="large", params={"depth": 2})
    path.unlink()
    wider = spec.with_params({"width": "3 * 3"})
    assert (width(spec), width(wider), len(spec.graph), len(wider.graph)) == (6, 9, 5, 5)
    assert (wider.variant, wider.params) == ("large", {"depth": "2", "width": "3 * 3"})
    assert wider.with_params({"width": 5}).params["width"] == "5"
    assert type(wider) is cnnspec.Spec
    assert width(spec) == 6
    with pytest.raises(UsageError, match="has no parameter `widht`"):
        spec.with_params({"widht": 1})
    with pytest.raises(SpecError, match="out_channels"):
        spec.with_params({"width": 0})
    with pytest.raises(FrozenInstanceError):
        spec.variant = None  # type: ignore[misc]


def test_another_input_stays_where_parameters_change_and_the_declared_one_does_not() -> None:
    text = "{cnnspec: 1, name: n, params: {size: 8}, input: [1, size, size], layers: ['Conv2d(2, 3)']}"
    spec = cnnspec.loads(text)
    assert spec.with_params({"size": 10}).graph.input_shape == (1, 10, 10)
    other = spec.at_size((3, 9, 7))
    assert other.graph.output_shape == (2, 7, 5)
    assert other.with_params({"size": 10}).graph.input_shape == (3, 9, 7)
    assert other.at_size((1, 3, 3)).graph.output_shape == (2, 1, 1)
    assert spec.graph.input_shape == (1, 8, 8)
    with pytest.raises(SpecError):
        spec.at_size((1, 2, 2))
    with pytest.raises(UsageError, match="is no input shape"):
        spec.at_size(())


def test_the_limit_of_nodes_that_was_asked_for_stays() -> None:
    spec = cnnspec.loads("{cnnspec: 1, name: n, params: {n: 3}, input: [4], layers: [Linear(4) * n]}", max_nodes=3)
    with pytest.raises(SpecError, match="more than the 3 nodes"):
        spec.with_params({"n": 4})


@pytest.mark.parametrize(
    ("params", "written"),
    [
        ({}, {}),
        ({"width": 7, "depth": 2}, {"width": "7", "depth": "2"}),
        ({"wide": True, "other": None}, {"wide": "True", "other": "None"}),
        ({"kernel": [3, 1]}, {"kernel": "[3, 1]"}),
        ({"kernel": (3, 1)}, {"kernel": "(3, 1)"}),
        ({"width": "2 + 2", "wide": "true"}, {"width": "2 + 2", "wide": "true"}),
    ],
)
@pytest.mark.parametrize("variant", [None, "large"])
def test_a_record_makes_the_same_network_again(
    params: dict[str, Any], written: dict[str, str], variant: str | None
) -> None:
    spec = cnnspec.loads(TEXT, variant=variant, params=params, input_shape=(2, 9, 9))
    record = spec.record()
    assert record == NetworkRecord(TEXT, variant, written, (2, 9, 9))
    again = Network.from_record(record, "spec.yaml", purpose="train")
    assert again.graph == spec.graph
    assert again.record() == record


def test_an_unreadable_record_is_told_as_any_spec_is() -> None:
    told = []
    for data in (b"\xff\xfe", b"cnnspec: 1\nname: \xe9\n", b"[1, 2]", b""):
        record = NetworkRecord(data.decode("utf-8", "surrogateescape"), None, {}, None)
        with pytest.raises(SpecError) as one:
            Network.from_record(record, "spec.yaml", purpose="train")
        with pytest.raises(SpecError) as other:
            read_spec("spec.yaml", data)
        told.append((str(one.value), str(other.value)))
    assert all(one == other for one, other in told)
