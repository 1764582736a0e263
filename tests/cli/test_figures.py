"""Figures that people read: units after rounding, shares that sum to the whole, and all formats saying the same."""

from __future__ import annotations

import csv
import io
from decimal import Decimal
from random import Random

import pytest

import cnnspec
from cnnspec.cli.render.figures import in_unit, shares, size_text
from cnnspec.cli.render.report import render

FACTORS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "PB": 10**15}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (246_824, "246.8 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (999_999_999, "1.0 GB"),
        (999_950_001, "1.0 GB"),
        (999_940_000_000, "999.9 GB"),
    ],
)
def test_the_unit_is_chosen_after_rounding(size: int, text: str) -> None:
    assert size_text(size) == text


def test_a_number_in_a_unit_is_below_a_thousand_and_as_near_as_its_digits_allow() -> None:
    rng = Random(1)
    sizes = [rng.randrange(10 ** rng.randint(1, 17)) for _ in range(3000)]
    sizes += [10**power + step for power in range(3, 17) for step in (-1, 0, 1)]
    sizes += [10**power - 10 ** (power - digits) for power in range(4, 17) for digits in range(1, 5)]
    for size in sizes:
        number, unit = size_text(size).split()
        assert Decimal(number) < 1000
        assert abs(Decimal(number) * FACTORS[unit] - size) <= Decimal("0.0501") * FACTORS[unit] * (unit != "B"), size
        assert unit == "B" or Decimal(number) >= 1
        number, *prefix = in_unit(size, "#.3g").split()
        factor = FACTORS[f"{''.join(prefix)}B"]
        assert Decimal(number) < 1000
        assert abs(Decimal(number) * factor - size) <= Decimal("0.00501") * size, size


def test_shares_sum_to_one_hundred() -> None:
    rng = Random(2)
    for _ in range(2000):
        parts = [rng.choice((0, 1, 1, rng.randrange(10**6))) for _ in range(rng.randint(1, 200))]
        texts = shares(parts)
        if not sum(parts):
            assert set(texts) == {""}
            continue
        found = [Decimal(text.removesuffix(" %")) for text in texts]
        assert sum(found) == 100
        exact = [Decimal(100 * part) / sum(parts) for part in parts]
        assert all(abs(share - true) < Decimal("0.1") for share, true in zip(found, exact, strict=True))
        in_order = sorted(zip(parts, found, strict=True))
        assert [share for _, share in in_order] == sorted(found)  # no larger part has a smaller share


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "densenet121", "mobilenet_v3_small", "convnext_tiny", "unet"])
def test_the_shares_of_a_table_sum_to_one_hundred(name: str) -> None:
    report = cnnspec.load(name).analyze()
    for shown in (report, report.folded(1)):
        cells = [line.split("|") for line in render(shown, "markdown").splitlines()]
        found = [cell for row in cells if len(row) > 8 and (cell := row[-2].strip()).endswith(" %")]
        assert len(found) > 1
        assert sum(Decimal(share.removesuffix(" %")) for share in found) == 100


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "mobilenet_v3_small", "lenet5"])
def test_csv_says_where_a_layer_sees_everything(name: str) -> None:
    report = cnnspec.load(name).analyze()
    table = [[cell.strip() for cell in line.split("|")] for line in render(report, "markdown").splitlines()]
    fields = {row[1].replace("\\", ""): row[4] for row in table if len(row) > 8}
    rows = list(csv.DictReader(io.StringIO(render(report, "csv"))))
    assert len(rows) == len(report.layers)
    for row in rows:
        assert row["sees_everything"] == str(fields[row["name"]] == "all").lower()
        assert row["receptive_field"] == "x".join(map(str, report.layer(row["name"]).receptive_field))
