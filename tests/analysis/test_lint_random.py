"""On random networks every finding names layers that there are, and says the same each time."""

from __future__ import annotations

from random import Random

from random_graphs import random_spec

import cnnspec
from cnnspec.analysis.lint import CODES
from cnnspec.errors import SpecError

NETWORKS = 200


def test_findings_about_random_networks() -> None:
    rng = Random(12)
    checked = 0
    met: set[str] = set()
    while checked < NETWORKS:
        text = random_spec(rng, nodes=12)
        try:
            spec = cnnspec.loads(text, path="a.json")
        except SpecError:
            continue
        checked += 1
        found = spec.lint()
        for finding in found:
            assert finding.code in CODES
            assert finding.layers
            assert set(finding.layers) <= set(spec.graph.by_name)
            assert finding.help
            met.add(finding.code)
        assert [finding.to_dict() for finding in spec.lint()] == [finding.to_dict() for finding in found]
        for code in {finding.code for finding in found}:
            assert spec.lint(select=[code]) == [finding for finding in found if finding.code == code]
    assert len(met) > 10
