"""Remarks in every place survive the formatter, and what it writes says the same and is stable."""

from __future__ import annotations

import random
import re

import pytest
from remarked_specs import remarked_spec

import cnnspec
from cnnspec.api import format_text
from cnnspec.errors import CnnspecError, SpecError
from cnnspec.graph import Graph
from cnnspec.language import format as formatter
from cnnspec.language import read_spec
from cnnspec.language.remarks import remark_texts

HEAD = "cnnspec: 1\ninput: [3, 8, 8]\n"


def formatted(body: str, *, long: bool = False, path: str = "spec.yaml") -> str:
    """What a body becomes, without the head."""
    text = format_text(HEAD + body, long=long, path=path)
    assert text.startswith(HEAD)
    assert format_text(text, long=long, path=path) == text
    return text.removeprefix(HEAD)


@pytest.mark.parametrize(
    ("body", "tidy"),
    [
        (
            "layers:\n  - type: Conv2d\n    out_channels: 8\n    kernel_size: 3  # why\n",
            "layers:\n  - Conv2d(8, 3)  # why\n",
        ),
        (
            "layers:\n  - type: Conv2d  # a\n    # b\n    out_channels: 8  # c\n    kernel_size: 3\n  # d\n  - ReLU\n",
            "layers:\n  # a\n  # b\n  # c\n  - Conv2d(8, 3)\n  # d\n  - ReLU\n",
        ),
        ("layers:\n  - # x\n    ReLU\n", "layers:\n  # x\n  - ReLU\n"),
        ("layers:\n  - # x\n    - ReLU\n", "layers:\n  # x\n  - - ReLU\n"),
        ("layers:\n  - {type: ReLU\n    }  # x\n  - Tanh\n", "layers:\n  - ReLU  # x\n  - Tanh\n"),
        ("layers:\n  - [ReLU,\n     Tanh\n    ]  # x\n", "layers:\n  - [ReLU, Tanh]  # x\n"),
        ("layers:\n  - [ReLU, # a\n     Tanh, ELU]  # b\n", "layers:\n  - - ReLU  # a\n    - Tanh\n    - ELU  # b\n"),
        ("layers: [ReLU,#a\n 'Tanh'#b\n]#c\n", "layers:\n  - ReLU  #a\n  - Tanh  #b\n#c\n"),
        ("layers:\n  - >-  # x\n    ReLU\n  - |+ #y\n    ELU\n\n# z\n", "layers:\n  - ReLU  # x\n  - ELU  #y\n# z\n"),
        ("layers:\n  - layers:\n    # x\n    - ReLU\n", "layers:\n  # x\n  - - ReLU\n"),
        (
            "layers:\n  # a\n  - layers: # b\n\n    # c\n    - - ReLU # d\n",
            "layers:\n  # a\n  # b\n\n  # c\n  - - - ReLU  # d\n",
        ),
        ("layers:  # in turn\n  # first\n  - ReLU\n", "layers:  # in turn\n  # first\n  - ReLU\n"),
        ("? layers # a\n# b\n: # c\n  - ReLU\n", "layers:  # a\n  # b\n  # c\n  - ReLU\n"),
        ("train: {a: # x\n  1, b, c: '#', # y\n  d: e#f}\nlayers: [ReLU]\n",
         'train:\n  a: 1  # x\n  b: null\n  c: "#"  # y\n  d: e#f\nlayers: [ReLU]\n'),
        ('description: "a # b\n  c" # d\nlayers: [ReLU]\n', 'description: "a # b c"  # d\nlayers: [ReLU]\n'),
        ("layers:\n  - ReLU\n...  # end\n# after\n", "layers:\n  - ReLU\n# end\n# after\n"),
    ],
)  # fmt: skip
def test_remarks_stay_where_they_belong(body: str, tidy: str) -> None:
    assert formatted(body) == tidy
    assert remark_texts(formatted(body, long=True)) == remark_texts(tidy)


def test_a_lost_remark_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    written = formatter.yaml_text
    monkeypatch.setattr(formatter, "yaml_text", lambda tree, below: written(tree, below).replace("# x", ""))
    with pytest.raises(CnnspecError, match=r"would not hold its remarks$"):
        formatted("layers: [ ReLU ]  # x\n")


@pytest.mark.parametrize(
    ("tidy", "other"), [("Conv2d(8, 3)", "Conv2d(8, 1)"), ("Conv2d(w, 3)", "Conv2d(4, 3)"), ("ELU(w)", "ELU(4)")]
)
def test_another_network_is_refused(tidy: str, other: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is another in a variant, or in a block that nothing calls."""
    written = formatter.yaml_text
    monkeypatch.setattr(formatter, "yaml_text", lambda tree, below: written(tree, below).replace(tidy, other))
    body = "params: {w: 4}\nvariants: {wide: {w: 9}}\nblocks: {B: {layers: ['ELU(w)']}}\n"
    with pytest.raises(CnnspecError, match="would not say the same"):
        formatted(body + "layers: ['Conv2d(8, 3)',  'Conv2d(w, 3)' ]\n")


def test_the_networks_of_variants_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnspec.language.equivalence._document", lambda document, callees: None)
    written = formatter.yaml_text
    monkeypatch.setattr(
        formatter, "yaml_text", lambda tree, below: written(tree, below).replace("Linear(w)", "Linear(4)")
    )
    with pytest.raises(CnnspecError, match="the network of variant wide is another"):
        formatted("params: {w: 4}\nvariants: {wide: {w: 9}}\nlayers: [Flatten,  Linear(w)]\n")


@pytest.mark.parametrize(
    ("body", "long"),
    [
        (
            "blocks: {B: {params: {k: 1}, layers: ['ReLU if k == (1, 2)', Tanh]}}\nlayers: ['B((1, 2))']\n",
            '{type: B, k: "(1, 2)"}',
        ),
        ("layers: ['Conv2d(0x1F, (1, 1))']\n", "{type: Conv2d, out_channels: 0x1F, kernel_size: [1, 1]}"),
        ("layers: [{type: Conv2d, out_channels: 010, kernel_size: +1}]\n", "out_channels: 10, kernel_size: 1}"),
        ("blocks: {B: {params: {add: 1}, layers: [ReLU]}}\nlayers: ['B(3)']\n", "[B(3)]"),
        ("let: {Conv2d: Linear}\nlayers: [Flatten, 'Conv2d(10)']\n", "Conv2d(10)]"),
        ("params: {size: 3}\nblocks: {B: {params: {k: (size)}, layers: [ELU(k)]}}\nlayers: [B]\n", "k: (size)"),
    ],
)  # fmt: skip
def test_the_long_form_says_the_same(body: str, long: str) -> None:
    written = formatted(body, long=True)
    assert long in written
    nodes = cnnspec.loads(HEAD + body).graph.nodes
    assert cnnspec.loads(HEAD + written).graph.nodes == nodes
    assert cnnspec.loads(HEAD + formatted(written)).graph.nodes == nodes


@pytest.mark.parametrize("line", [f"Conv2d(max({','.join('1' * 490)}), 1)", f"Tanh if not {'<'.join('1' * 490)}"])
def test_what_grows_too_long_stays_as_it_is(line: str) -> None:
    """A thousand characters are the most that an expression has, and blanks are characters."""
    for long in (False, True):
        written = HEAD + formatted(f"layers:\n  -   {line}\n", long=long)
        assert line in written
        assert cnnspec.loads(written).graph.nodes == cnnspec.loads(f"{HEAD}layers:\n  - {line}\n").graph.nodes


def test_texts_keep_characters_that_yaml_would_not() -> None:
    assert formatted(r'description: "a\u0085b\u2028c\uFFFEd"' + "\nlayers: [ReLU]\n").startswith(
        r'description: "a\u0085b\u2028c\ufffed"' + "\n"
    )
    key = "k" * 1022
    assert f'? "{key}"\n  : 3\n' in formatted(f"train: {{'{key}': 3}}\nlayers: [ReLU]\n")
    text = '{"cnnspec": 1, "input": 8, "train": {"a": 1e400}, "layers": ["ReLU"]}'
    assert '"a": 1e400' in format_text(text, path="net.json")


def test_line_ends_are_kept() -> None:
    text = f"{HEAD}layers:\n  # a\n  -  ReLU\n"
    for end in ("\r\n", "\r"):
        written = format_text(text.replace("\n", end))
        assert written == format_text(text).replace("\n", end)
        assert format_text(written) == written


def test_two_hundred_thousand_remarks() -> None:
    """Each is looked at a few times, and not as often as there are others: that would take minutes."""
    text = HEAD + "layers:\n" + "# x\n" * 200_000 + "  - ReLU\n"
    assert format_text(text).count("# x\n") == 200_000


# Specs with remarks in every place ----------------------------------------------------------------------------------


def _networks(text: str) -> list[Graph | list[str]]:
    """The networks of a spec and of its variants, or what is wrong with them."""
    source = read_spec("spec.yaml", text.encode())
    found: list[Graph | list[str]] = []
    for variant in (None, *source.document.variants):
        try:
            found.append(source.elaborate(variant=variant))
        except SpecError as error:
            found.append([diagnostic.code for diagnostic in error.diagnostics])
    return found


def _round_trips(first: int, count: int) -> None:
    whole = 0
    for seed in range(first, first + count):
        text, remarks = remarked_spec(random.Random(seed))
        networks = _networks(text)
        whole += isinstance(networks[0], Graph)
        for long in (False, True):
            written = format_text(text, long=long)
            assert sorted(re.findall(r"#r\d+", written)) == sorted(remarks), (seed, text, written)
            assert _networks(written) == networks, (seed, text, written)
            assert format_text(written, long=long) == written, (seed, text, written)
    assert whole > count * 0.8, "the specs are networks"


def test_specs_with_remarks_everywhere() -> None:
    _round_trips(0, 300)  # both forms: 600 round trips


@pytest.mark.long
def test_many_specs_with_remarks_everywhere() -> None:
    _round_trips(10**6, 25_000)
