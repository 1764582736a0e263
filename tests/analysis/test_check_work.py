"""How much work `check` is: proportional to the text, and bounded for all variants together."""

from __future__ import annotations

import io
from collections.abc import Callable
from unittest.mock import patch

import pytest
from work import calls_of

from cnnspec.analysis import analyze
from cnnspec.api import check, format_text
from cnnspec.cli.render.diagnostics import FORMS, Listing
from cnnspec.language import Source

HEAD = "cnnspec: 1\ninput: [3, 8, 8]\n"


def codes(text: str, max_nodes: int = 20_000) -> set[str]:
    return {found.code for found in check("net.yaml", text=text, max_nodes=max_nodes).diagnostics}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layer", ["ReLU", "Conv2d(3, 99)"], ids=["warnings", "errors"])
def test_many_findings_on_one_line_are_linear(layer: str, form: str) -> None:
    def work(layers: int) -> int:
        text = f"{HEAD}layers: [{', '.join([layer] * layers)}]\n"
        return calls_of(lambda: FORMS[form](Listing([check("net.yaml", text=text)], io.StringIO())))

    work(10)  # what is worked out once in a process
    assert work(1200) < 5 * work(300)


def variants(count: int, setting: str = "{a: 1}") -> str:
    return "params: {a: 1}\nvariants:\n" + "".join(f"  v{n}: {setting}\n" for n in range(count))


def test_variants_are_bounded_together() -> None:
    text = HEAD + variants(40, "{a: 300}") + "layers:\n  - ReLU * a\n"
    assert codes(text) == {"W306"}
    assert codes(text, max_nodes=400) == {"E119"}
    assert codes(text + "  - ReLU * -1\n", max_nodes=400) == {"E112", "E119"}
    assert not check("net.yaml", text=text, variant="v7", max_nodes=400).errors


def outcomes(function: Callable[[], object]) -> int:
    """How many times a spec is worked out while `function` runs."""
    with patch.object(Source, "outcome", autospec=True, side_effect=Source.outcome) as outcome:
        function()
    return outcome.call_count


@pytest.mark.parametrize(
    ("count", "layers"),
    [
        (3000, "layers: [ReLU]\n"),
        (3000, "layers: [Reul]\n"),
        (3000, "layers: [Conv2d(8, 99)]\n"),
        (300, "layers: [ReLU]\nblocks:\n  B:\n    layers:\n" + "      - ReLU\n" * 2000),
        (300, "layers:\n  - {layers: ['ReLU * 0'], repeat: 900}\n"),
    ],
    ids=["many", "many of a wrong spec", "many that want another size", "long text", "absent nodes"],
)
def test_variants_of_all_kinds_are_bounded_together(count: int, layers: str) -> None:
    text = HEAD + variants(count) + layers
    assert outcomes(lambda: codes(text, max_nodes=1000)) < count / 3
    assert "E119" in codes(text, max_nodes=1000)


def test_the_fields_of_all_variants_are_bounded_together() -> None:
    layers = "".join(
        f"  - {layer}\n" for layer in ("AdaptiveAvgPool2d([1013, a])", "Conv2d(1, [501, 1], padding=same)")
    )
    text = "cnnspec: 1\ninput: [3, 1021, 28]\n" + variants(40) + f"layers:\n{layers}"
    with patch("cnnspec.analysis.check.analyze", side_effect=analyze) as analysed:
        assert "E119" in codes(text)
    assert analysed.call_count < 8
    assert not check("net.yaml", text=text, variant="v39").errors


def test_fmt_compares_no_more_variants_than_that() -> None:
    text = HEAD + variants(500) + "layers: [ReLU, Tanh]\nblocks:\n  B:\n    layers:\n" + "      - ReLU()\n" * 5000
    assert 2 <= outcomes(lambda: format_text(text)) < 400
