"""Diagnostics as people read them, and in the forms that tools read."""

from __future__ import annotations

import ast
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

import cnnspec
from cnnspec.analysis.check import Checked
from cnnspec.analysis.lint import CODES
from cnnspec.api import check
from cnnspec.cli import VERBS
from cnnspec.cli.render.diagnostics import FORMS, Listing, painter
from cnnspec.codes import codes, explain_code
from cnnspec.diagnostics import render, render_all
from cnnspec.errors import Diagnostic, Place, SpecError, UsageError

ROOT = Path(__file__).parents[2]

DRAWN = """\
cnnspec: 1
input: [3, 224, 224]
blocks:
  Stage:
    params: {out: int}
    layers:
      - {type: Conv2d, out_channels: out, kernal_size: 3}
layers:
  layer2: Stage(64)
"""


def rendered(text: str, path: str = "net.yaml") -> str:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(text, path=path)
    return render_all(caught.value.diagnostics, caught.value.path, caught.value.text)


def test_as_the_language_draws_it() -> None:
    assert rendered(DRAWN) == (
        "error[E104]: Conv2d has no argument `kernal_size`\n"
        "  --> net.yaml:7:43\n"
        "  |\n"
        "7 |       - {type: Conv2d, out_channels: out, kernal_size: 3}\n"
        "  |                                           ^^^^^^^^^^^ did you mean `kernel_size`?\n"
        "  = in block Stage (net.yaml:4), expanded from layer2"
    )


def test_a_window_that_does_not_fit() -> None:
    lines = rendered("cnnspec: 1\ninput: [3, 4, 4]\nlayers:\n  pool: MaxPool2d(5)\n").splitlines()
    assert lines[0] == "error[E201]: MaxPool2d: the window does not fit: it spans 5, but the input is 4"
    assert lines[-2:] == [
        "  = pool reads 3x4x4 from input",
        "  = help: `cnnspec sizes net.yaml` tells the input sizes that fit",
    ]


@pytest.mark.parametrize("layer", ["Wobble", "Wobble if False"])
def test_a_layer_that_nothing_comes_near_gets_told_where_all_are(layer: str) -> None:
    text = rendered(f"cnnspec: 1\ninput: 3\nlayers: [ReLU, {layer}]\n")
    assert text.startswith("error[E103]: there is no layer `Wobble`")
    assert text.endswith("  = help: define it below `blocks:`; `cnnspec explain` lists the layers")


def test_several_errors_are_counted() -> None:
    text = rendered("cnnspec: 1\ninput: 3\nlayers: [Reul, Thanh]\n")
    assert text.count("error[E103]") == 2
    assert text.endswith("\n\n2 errors in net.yaml")


def test_the_caret_stands_under_wide_letters() -> None:
    text = "cnnspec: 1\ninput: 3\ndescription: \u65e5\u672c\nlayers: {\u65e5: ReLU}\n"
    line, caret = rendered(text).splitlines()[3:5]
    assert line == "4 | layers: {\u65e5: ReLU}"
    assert caret == "  |          ^^"


def test_a_long_line_is_cut_around_the_caret() -> None:
    text = "cnnspec: 1\ninput: 3\nlayers: [" + "ReLU, " * 200 + "Reul]\n"
    line, caret = rendered(text).splitlines()[3:5]
    assert len(line) <= 170
    assert line[caret.index("^") :].startswith("Reul")


def test_nothing_that_a_terminal_would_obey_is_printed() -> None:
    place = Place(1, 1, 3)
    diagnostic = Diagnostic("E107", "a\x1b[31mb", place, "c\x07", ("d\u202e",), "e\n")
    text = render(diagnostic, "net.yaml", "x\x1b[2Jy\n")
    assert all(letter.isprintable() or letter == "\n" for letter in text)


def test_a_place_beyond_the_text() -> None:
    assert "--> net.yaml:9:1" in render(Diagnostic("E102", "m", Place(9, 1)), "net.yaml", "x\n")
    assert render(Diagnostic("E102", "m", label="l"), "net.yaml", "") == "error[E102]: m\n  --> net.yaml\n  = l"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colour_is_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert painter(io.StringIO())("x", "error") == "x"
    assert painter(Terminal())("x", "error") == "\x1b[1;31mx\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert painter(Terminal())("x", "error") == "x"
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert painter(Terminal())("x", "error") == "x"


# Check


def write(folder: Path, text: str, name: str = "net.yaml") -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


GOOD = "cnnspec: 1\ninput: [3, 8, 8]\nlayers:\n  - Conv2d(8, 3)\n  - BatchNorm2d\n"  # W305: a bias before batch norm


def test_check_finds_errors_or_else_warnings(tmp_path: Path) -> None:
    bad = check(write(tmp_path, GOOD + "  - Reul\n"))
    assert [(d.code, d.severity) for d in bad.diagnostics] == [("E103", "error")]
    assert (bad.errors, bad.warnings) == (1, 0)
    good = check(write(tmp_path, GOOD))
    assert [(d.code, d.severity) for d in good.diagnostics] == [("W305", "warning")]
    assert (good.errors, good.warnings) == (0, 1)
    assert not check(write(tmp_path, GOOD), ignore=["W305"]).diagnostics
    assert not check(write(tmp_path, GOOD), select=["W301"]).diagnostics
    assert not check(write(tmp_path, GOOD + "lint: {ignore: [W305]}\n")).diagnostics


def test_check_looks_at_every_variant(tmp_path: Path) -> None:
    text = "cnnspec: 1\ninput: [3, 8, 8]\nparams: {k: 3}\nvariants: {big: {k: 9}}\nlayers: ['Conv2d(8, k)']\n"
    path = write(tmp_path, text)
    (diagnostic,) = check(path).diagnostics
    assert diagnostic.code == "E201"
    assert diagnostic.notes[-1] == "in the variant big"
    assert diagnostic.help == f"`cnnspec sizes {path}`: the smallest input is 9x9"
    assert not check(path, params={"k": 3}).errors
    assert check(path, variant="big").errors == 1
    needed = text.replace("{k: 3}", "{k: int}").replace("k: 9", "k: 5")
    assert not check(write(tmp_path, needed)).errors
    assert check(write(tmp_path, needed.replace("variants: {big: {k: 5}}\n", ""))).errors == 1


def test_check_warns_about_every_variant_once(tmp_path: Path) -> None:
    text = (
        "cnnspec: 1\ninput: [3, 8, 8]\nparams: {plain: true}\nvariants: {a: {}, b: {plain: false}, c: {plain: false}}\n"
    )
    path = write(tmp_path, text + "layers:\n  - Conv2d(8, 3)\n  - BatchNorm2d if not plain\n")
    (warning,) = check(path).diagnostics
    assert (warning.code, warning.notes) == ("W305", ("in the variant b",))
    assert not check(path, variant="a").diagnostics
    (alone,) = check(path, variant="c").diagnostics
    assert not alone.notes


@pytest.mark.parametrize(
    ("line", "way_out"),
    [
        ("MaxPool2d(3, 2)", "MaxPool2d(3, stride=2)"),
        ("GroupNorm(3, 3)", "GroupNorm(3, num_channels=3)"),
        ("Linear(64, 10)", "Linear(10)"),
    ],
)
def test_arguments_that_stand_where_torch_has_them_get_their_way_out(line: str, way_out: str, tmp_path: Path) -> None:
    written = "cnnspec: 1\ninput: [3, 8, 8]\nlayers: [{line}]\n"
    (diagnostic,) = check(write(tmp_path, written.format(line=repr(line)))).diagnostics
    assert diagnostic.code == "E105"
    assert diagnostic.help is not None
    assert f"`{way_out}`" in diagnostic.help
    assert not check(write(tmp_path, written.format(line=repr(way_out)))).errors


FILES = (
    Checked(
        "a,b.yaml",
        "x: 1\ny: 2\n",
        (
            Diagnostic("E103", "50% \u00e9\nmore", Place(2, 1, 4), "label", ("note",), "way out"),
            Diagnostic("W301", "whole file", severity="warning"),
        ),
    ),
    Checked("c.yaml", "", ()),
)


def test_json_form() -> None:
    document = json.loads(FORMS["json"](Listing(FILES, io.StringIO())))
    assert document["totals"] == {"errors": 1, "warnings": 1}
    assert [file["path"] for file in document["files"]] == ["a,b.yaml", "c.yaml"]
    first = document["files"][0]["findings"][0]
    assert (first["code"], first["line"], first["column"], first["length"]) == ("E103", 2, 1, 4)


def test_github_form() -> None:
    assert FORMS["github"](Listing(FILES, io.StringIO())).splitlines() == [
        "::error file=a%2Cb.yaml,title=cnnspec E103,line=2,col=1,endColumn=5"
        "::50%25 \u00e9%0Amore%0Alabel%0Anote%0Ahelp: way out",
        "::warning file=a%2Cb.yaml,title=cnnspec W301::whole file",
    ]


def test_sarif_form() -> None:
    document = json.loads(FORMS["sarif"](Listing(FILES, io.StringIO())))
    assert document["$schema"].endswith("/sarif-schema-2.1.0.json")
    (run,) = document["runs"]
    assert [rule["id"] for rule in run["tool"]["driver"]["rules"]] == ["E103", "W301"]
    rule = run["tool"]["driver"]["rules"][1]
    assert rule["shortDescription"]["text"] == codes()["W301"]
    assert rule["help"]["markdown"] == explain_code("W301")
    assert rule["defaultConfiguration"]["level"] == "warning"
    first, second = run["results"]
    assert (first["ruleId"], first["level"], first["ruleIndex"]) == ("E103", "error", 0)
    location = first["locations"][0]["physicalLocation"]
    assert location["region"] == {"startLine": 2, "startColumn": 1, "endColumn": 5}
    assert "region" not in second["locations"][0]["physicalLocation"]


@pytest.mark.parametrize("strict", [False, True])
def test_junit_form(strict: bool) -> None:
    text = FORMS["junit"](Listing(FILES, io.StringIO(), strict=strict))
    assert text.isascii()  # it is the same on every stdout
    root = ElementTree.fromstring(text)
    assert root.attrib == {"name": "cnnspec check", "tests": "3", "failures": "2" if strict else "1", "errors": "0"}
    first, second = root
    assert (first.attrib["name"], first.attrib["tests"], len(first)) == ("a,b.yaml", "2", 2)
    error, warning = first
    assert (error.attrib["name"], error.attrib["file"], error.attrib["line"]) == ("E103", "a,b.yaml", "2")
    (failure,) = error
    assert (failure.tag, failure.attrib["message"]) == ("failure", "50% \u00e9\\u000amore")
    assert failure.text == render(FILES[0].diagnostics[0], "a,b.yaml", FILES[0].text)
    assert [child.tag for child in warning] == ["failure" if strict else "system-out"]
    assert [list(case) for case in second] == [[]]  # a file without findings has passed


def test_text_form_ends_with_a_count() -> None:
    assert FORMS["text"](Listing(FILES, io.StringIO())).endswith("2 files checked: 1 error, 1 warning")
    assert FORMS["text"](Listing(FILES[1:], io.StringIO())) == "1 file checked: nothing wrong"


# Pages


def raised_codes() -> set[str]:
    """Every code of an error that stands in the source."""
    found = set()
    for path in (ROOT / "cnnspec").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"E\d{3}", node.value):
                found.add(node.value)
    return found


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert len(raised_codes()) >= 25
    assert set(codes()) == raised_codes() | set(CODES)


@pytest.mark.parametrize("code", sorted(codes()))
def test_pages_have_a_title_and_say_something(code: str) -> None:
    page = explain_code(code)
    assert re.match(rf"# {code}: [^\n]+\n\n\S", page)
    assert max(len(line) for line in page.splitlines()) <= 160
    assert explain_code(code.lower()) == page


def test_a_code_that_there_is_not() -> None:
    with pytest.raises(UsageError, match="E999"):
        explain_code("E999")


SNIPPET = re.compile(r"```yaml\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("code", sorted(code for code in codes() if code.startswith("E")))
def test_the_examples_of_a_page_give_its_error(code: str) -> None:
    for snippet in SNIPPET.findall(explain_code(code)):
        text = snippet if "cnnspec:" in snippet else f"cnnspec: 1\n{snippet}"
        text = text if re.search(r"^input:", text, re.MULTILINE) else f"{text}input: [3, 32, 32]\n"
        text = text if re.search(r"^(layers|layer):", text, re.MULTILINE) else f"{text}layers: [ReLU]\n"
        with pytest.raises(SpecError) as caught:
            cnnspec.loads(text)
        assert code in {diagnostic.code for diagnostic in caught.value.diagnostics}, snippet


def test_other_verbs_print_the_same_to_stderr(tmp_path: Path) -> None:
    path = write(tmp_path, DRAWN)
    command = [sys.executable, "-m", "cnnspec", "inspect", str(path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (3, "")
    assert result.stderr == rendered(DRAWN, str(path)) + "\n"


def test_the_hooks_call_verbs_that_there_are() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert [hook["entry"] for hook in hooks] == ["cnnspec check", "cnnspec fmt"]
    assert {hook["entry"].split()[1] for hook in hooks} <= set(VERBS)
    for hook in hooks:
        assert re.search(hook["files"], "nets/small.cnn.yaml")
        assert not re.search(hook["files"], "config.yaml")


def test_the_smallest_input_is_not_said_where_the_channels_stand_last(tmp_path: Path) -> None:
    spec = "cnnspec: 1\ninput: [28, 28, 1]\nlayers: ['Conv2d(8, 3)']\n"
    (error,) = check(write(tmp_path, spec)).diagnostics
    assert error.help == "channels come first: write `input: [1, 28, 28]`"


def test_hints_do_not_depend_on_the_hash_seed() -> None:
    """Of names that are equally near, every process means the same: sets have another order in each."""
    names = [spelled for letter in "abcdefgh" for spelled in (f"{letter}width", f"{letter.upper()}width")]
    spec = {
        "cnnspec": 1,
        "input": [1, 8, 8],
        "params": dict.fromkeys(names, 4),
        "blocks": {
            **{
                spelled: {"layers": ["ReLU"]}
                for letter in "jklmnop"
                for spelled in (f"{letter}cell", f"{letter.upper()}cell")
            },
            "Idle": {
                "layers": [
                    *(f"{letter}CELL" for letter in "jklmnop"),
                    *(f"Linear({letter}WIDTH)" for letter in "abcdefgh"),
                ]
            },
        },
        "layers": ["Flatten", "Linear(2)"],
    }
    script = "import sys; from cnnspec.api import check; print(check('a.yaml', text=sys.argv[1]).diagnostics)"
    command = [sys.executable, "-c", script, json.dumps(spec)]
    said = [
        subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, text=True, capture_output=True, check=True)
        for seed in "12"
    ]
    assert said[0].stdout.count("did you mean") == 15
    assert said[0].stdout == said[1].stdout
