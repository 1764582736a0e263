"""Specs whose fields repeat so late that working them out would take hours: an error of their own, at once."""

from __future__ import annotations

import pytest
from work import calls_of

import cnnspec
from cnnspec import SpecError

IRREGULAR = [
    ("[1, 28, 28]", "  - AdaptiveAvgPool2d(2147483647)\n"),
    ("[1, 1009]", "  - AdaptiveAvgPool1d(1013)\n  - Upsample(scale_factor=1.001)\n  - AdaptiveAvgPool1d(1021)\n"),
    ("[1, 64]", "".join(f"  - ConvTranspose1d(1, 101, stride={stride})\n" for stride in (97, 89, 83))),
    ("[1, 10, 10]", "  - Conv2d(1, 6, stride=99991, padding=6) * 100\n"),  # units ever further apart
    ("[1, 1009]", "  - AdaptiveAvgPool1d(40000)\n  - AdaptiveAvgPool1d(39979)\n  - AvgPool1d(30000, stride=7)\n"),
    # each layer after the first within what one may take, and all of them in minutes
    (
        "[1, 2027]",
        "  - AdaptiveAvgPool1d(1999)\n" + "  - Conv1d(1, 701, padding=same)\n  - Conv1d(1, 699, padding=same)\n" * 2,
    ),
    (  # and holes of which masks of gigabytes would have to be kept
        "[1, 4001609]",
        "  - Upsample(size=1024, mode=nearest)\n  - Conv1d(1, 16, padding=same) * 5000\n",
    ),
]


@pytest.mark.parametrize(("shape", "layers"), IRREGULAR)
def test_a_field_that_is_too_irregular_is_an_error(shape: str, layers: str) -> None:
    spec = cnnspec.loads(f"cnnspec: 1\ninput: {shape}\nlayers:\n{layers}")
    with pytest.raises(SpecError) as caught:
        spec.analyze()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E208"
    assert diagnostic.place is not None


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ("[1, 40000, 40000]", '  - "ConvTranspose2d(1, [39989, 3], stride=[39979, 1])"\n  - Conv2d(1, 3, stride=2)\n'),
        ("[1, 100]", "  - AdaptiveAvgPool1d(16000000)\n"),
        ("[1, 100003]", "  - AdaptiveAvgPool1d(99991)\n"),
        (
            "[3, 8, 8]",
            "  a: Conv2d(32000, 1)\n  b: Conv2d(32000, 3, padding=1)(input)\n  c: Concat(a, b)\n"
            "  d: LocalResponseNorm(3000)\n",
        ),
    ],
)
def test_what_is_large_and_regular_is_worked_out(shape: str, layers: str) -> None:
    report = cnnspec.loads(f"cnnspec: 1\ninput: {shape}\nlayers:\n{layers}").analyze()
    assert all(min(row.receptive_field) >= 1 for row in report.layers)


def test_one_unit_that_reads_millions_is_no_work() -> None:
    """A window over 1.5 million rows, and what one unit behind it reads, as bits at once."""
    spec = cnnspec.loads("cnnspec: 1\ninput: [1, 16000000, 8]\nlayers:\n  - AdaptiveAvgPool2d([11, 8])\n")
    assert calls_of(lambda: spec.field("0", (3, 2))) < 20_000
    assert spec.field("0", (3, 2)).clipped == ((4_363_636, 5_818_181), (2, 2))


def test_one_unit_that_reads_millions_apart_is_an_error() -> None:
    layers = "  - AvgPool1d(7, stride=5)\n" * 3 + "  - Conv1d(1, 200000, dilation=3)\n"
    spec = cnnspec.loads(f"cnnspec: 1\ninput: [1, 2000000000]\nlayers:\n{layers}")
    with pytest.raises(SpecError, match="too many units of it are read"):
        spec.field("3")
