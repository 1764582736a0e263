"""What `input` says of files of another size or rate is read and kept, and refused where it cannot be."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.intake import Intake
from cnnspec.language.schema import json_schema

TEXT = "cnnspec: 1\nname: a\ninput: {{shape: {shape}, {said}}}\nlayers:\n  - Flatten\n  - Linear(2)\n"


def spec(said: str, shape: str = "[3, 8, 8]") -> cnnspec.api.Spec:
    return cnnspec.loads(TEXT.format(shape=shape, said=said))


@pytest.mark.parametrize(
    ("said", "shape", "intake"),
    [
        ("fit: crop", "[3, 8, 8]", Intake("crop")),
        ("fit: crop, resize: 10", "[3, 8, 8]", Intake("crop", 10)),
        ("fit: stretch", "[3, 8, 8]", Intake()),
        ("rate: 16000", "[1, 80]", Intake(rate=16000)),
    ],
)
def test_what_is_said_is_kept(said: str, shape: str, intake: Intake) -> None:
    network = spec(said, shape)
    assert network.graph.intake == intake
    again = cnnspec.api.format_text(TEXT.format(shape=shape, said=said))
    assert cnnspec.loads(getattr(again, "text", again)).graph.intake == intake
    assert type(network).from_record(network.record(), "a.yaml", purpose="train").graph.intake == intake


@pytest.mark.parametrize(
    ("said", "shape", "message"),
    [
        ("fit: crp", "[3, 8, 8]", "`fit` is one of stretch, crop"),
        ("resize: 10", "[3, 8, 8]", "`resize` goes with `fit: crop`"),
        ("fit: crop, resize: 7", "[3, 8, 8]", "`resize` is 7, and the crop from it 8x8"),
        ("fit: crop, resize: 0", "[3, 8, 8]", "`resize` is a whole number above 0"),
        ("fit: crop", "[1, 80]", "`fit` is for images, and the input has 2 axes"),
        ("rate: 16000", "[3, 8, 8]", "`rate` is for signals"),
        ("rate: 16k", "[1, 80]", "`rate` is a whole number above 0"),
    ],
)
def test_what_cannot_be_is_one_error(said: str, shape: str, message: str) -> None:
    with pytest.raises(cnnspec.SpecError) as caught:
        spec(said, shape)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E107"]
    assert message in str(caught.value)


@pytest.mark.parametrize("value", ["-1", "256", "x", "1.5", "true"])
def test_what_stands_for_no_class_is_a_byte(value: str) -> None:
    said = f"{{type: segmentation, ignore: {value}}}"
    with pytest.raises(cnnspec.SpecError, match="`ignore` is a whole number from 0 to 255"):
        cnnspec.loads(f"cnnspec: 1\ninput: [1, 8, 8]\ntask: {said}\nlayers:\n  - Conv2d(3, 3, padding=1)\n")


def test_the_schema_knows_the_keys() -> None:
    text = str(json_schema()["properties"]["input"])
    assert all(f"'{key}'" in text for key in ("fit", "resize", "rate"))
