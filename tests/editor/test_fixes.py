"""What mends a finding: applied, it takes the finding away and brings no new one."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cnnspec import api
from cnnspec.analysis.check import check
from cnnspec.cli.check import app
from cnnspec.editor.fixes import apply, disjoint, fix_of, mend
from cnnspec.language.spec_source import read_source
from cnnspec.places import Diagnostic, Edit, Fix, Place, split_lines

HEAD = "cnnspec: 1\ninput: [3, 32, 32]\n"

CASES = {  # a text, the code of what is wrong, and the text that mends it
    "a layer": (HEAD + "layers:\n  - Con2d(8, 3)\n", "E103", HEAD + "layers:\n  - Conv2d(8, 3)\n"),
    "an argument": (
        HEAD + "layers:\n  - Conv2d(8, 3, pading=1)\n",
        "E104",
        HEAD + "layers:\n  - Conv2d(8, 3, padding=1)\n",
    ),
    "a key": (HEAD.replace("input", "inptu") + "layers: [ReLU]\n", "E107", HEAD + "layers: [ReLU]\n"),
    "a word": (
        HEAD + "layers:\n  - Conv2d(8, 3, padding=sme)\n",
        "E106",
        HEAD + "layers:\n  - Conv2d(8, 3, padding=same)\n",
    ),
    "a read": (
        HEAD + "layers:\n  conv: ReLU\n  b: Add(conf, input)\n",
        "E109",
        HEAD + "layers:\n  conv: ReLU\n  b: Add(conv, input)\n",
    ),
    "a name": (
        HEAD + "params: {width: 8}\nlayers:\n  - Conv2d(widht * 2, 3)\n",
        "E110",
        HEAD + "params: {width: 8}\nlayers:\n  - Conv2d(width * 2, 3)\n",
    ),
    "a name where it is defined": (
        HEAD + "params: {widht: 8}\nlayers:\n  - Conv2d(width, 3)\n  - Conv2d(width * 2, 3)\n",
        "E110",
        HEAD + "params: {width: 8}\nlayers:\n  - Conv2d(width, 3)\n  - Conv2d(width * 2, 3)\n",
    ),
    "arguments as torch has them": (
        HEAD + "layers:\n  - Conv2d(3, 8, 3, 2, bias=False)\n",
        "E105",
        HEAD + "layers:\n  - Conv2d(8, 3, stride=2, bias=False)\n",
    ),
    "a stride by position": (
        HEAD + "layers:\n  - Conv2d(8, 3, (2, 1), 1)\n",
        "E105",
        HEAD + "layers:\n  - Conv2d(8, 3, stride=(2, 1), padding=1)\n",
    ),
    "features that follow": (
        HEAD + "layers:\n  - Flatten\n  - Linear(3072, 10, False)\n",
        "E105",
        HEAD + "layers:\n  - Flatten\n  - Linear(10, bias=False)\n",
    ),
    "channels that follow": (
        HEAD + "layers:\n  - ReLU\n  - BatchNorm2d( 3 )\n",
        "E105",
        HEAD + "layers:\n  - ReLU\n  - BatchNorm2d(  )\n",
    ),
    "tabs": (HEAD + "layers:\n\ta: ReLU\n\tb: ReLU\n", "E102", HEAD + "layers:\n  a: ReLU\n  b: ReLU\n"),
    "an output": (HEAD + "outputs: [b]\nlayers: {aa: ReLU}\n", "E109", None),
    "a space": (HEAD + "layers:\n  -ReLU\n", "E107", HEAD + "layers:\n  - ReLU\n"),
    "a space after a colon": (
        HEAD + "layers:\n  a:ReLU\n  b: ReLU\n",
        "E102",
        HEAD + "layers:\n  a: ReLU\n  b: ReLU\n",
    ),
    "channels last": (
        "cnnspec: 1\ninput: [32, 32, 3]\nlayers:\n  - Conv2d(9, 3, groups=3)\n",
        "E204",
        "cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(9, 3, groups=3)\n",
    ),
    "channels last, with a mean": (
        "cnnspec: 1\ninput: {shape: [32, 32, 3], mean: [0, 0, 0], std: [1, 1, 1]}\nlayers:\n  - Conv2d(8, 3)\n",
        "E206",
        "cnnspec: 1\ninput: {shape: [3, 32, 32], mean: [0, 0, 0], std: [1, 1, 1]}\nlayers:\n  - Conv2d(8, 3)\n",
    ),
    "no channels": (
        "cnnspec: 1\ninput: [32, 32]\nlayers:\n  - Conv2d(8, 3)\n",
        "E202",
        "cnnspec: 1\ninput: [1, 32, 32]\nlayers:\n  - Conv2d(8, 3)\n",
    ),
    "same with a stride": (
        HEAD + "layers:\n  - Conv2d(8, 5, stride=2, padding=same)\n",
        "E204",
        HEAD + "layers:\n  - Conv2d(8, 5, stride=2, padding=2)\n",
    ),
    "a dense layer on a map": (
        HEAD + "layers:\n  - ReLU\n  - Linear(10)\n",
        "W321",
        HEAD + "layers:\n  - ReLU\n  - Flatten\n  - Linear(10)\n",
    ),
    "a dense layer on a map, with names": (
        HEAD + "layers:\n  flatten: ReLU\n  fc: Linear(10)\n",
        "W321",
        HEAD + "layers:\n  flatten: ReLU\n  flatten2: Flatten\n  fc: Linear(10)\n",
    ),
    "an output for classes that is a map": (
        HEAD + "classes: [a, b]\nlayers:\n  - ReLU\n  - Linear(2)\n  - Tanh\n",
        "E206",
        HEAD + "classes: [a, b]\nlayers:\n  - ReLU\n  - Flatten\n  - Linear(2)\n  - Tanh\n",
    ),
    "an output for a task that is a map": (
        HEAD + "task: regression\nlayers:\n  a: ReLU\n  b: Linear(2)\n",
        "E206",
        HEAD + "task: regression\nlayers:\n  a: ReLU\n  flatten: Flatten\n  b: Linear(2)\n",
    ),
    "a sum of two shapes": (
        HEAD + "layers:\n  a: Conv2d(8, 1)\n  b: Conv2d(16, 3, stride=2, padding=1)\n  c: Add(b, a)\n",
        "E205",
        HEAD
        + "layers:\n  a: Conv2d(8, 1)\n  b: Conv2d(16, 3, stride=2, padding=1)\n"
        + "  a_projection: Conv2d(16, 1, stride=2)(a)\n  c: Add(b, a_projection)\n",
    ),
}


def checked(text: str) -> tuple[Diagnostic, ...]:
    return check(read_source("spec.yaml", text.encode())).diagnostics


@pytest.mark.parametrize("case", CASES)
def test_a_fix_takes_its_finding_away_and_brings_no_other(case: str) -> None:
    text, code, mended = CASES[case]
    before = checked(text)
    finding = next(each for each in before if each.code == code)
    fix = fix_of(finding, split_lines(text))
    if mended is None:
        assert fix is None
        return
    assert fix is not None
    assert apply(text, [fix]) == mended
    after = {(each.code, each.message) for each in checked(mended)}
    assert (finding.code, finding.message) not in after
    assert {code for code, _ in after} <= {each.code for each in before} | {"W301", "W306", "W313"}


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_lines_end_as_those_of_the_text(ending: str) -> None:
    text = CASES["a dense layer on a map"][0].replace("\n", ending)
    fix = fix_of(next(each for each in checked(text) if each.code == "W321"), split_lines(text))
    assert fix is not None
    assert apply(text, [fix]) == CASES["a dense layer on a map"][2].replace("\n", ending)


def test_fixes_that_overlap_are_not_made_twice() -> None:
    text = CASES["a layer"][0]
    (finding,) = checked(text)
    fix = fix_of(finding, split_lines(text))
    assert fix is not None
    assert disjoint([fix, fix]) == [fix]


def test_what_is_found_behind_a_mistake_is_mended_too() -> None:
    text = HEAD + "layers:\n  - Con2d(8, 3)\n  - ReLU\n  -Linear(10)\n"
    fixed = api.fix(text)
    assert fixed.text == HEAD + "layers:\n  - Conv2d(8, 3)\n  - ReLU\n  - Flatten\n  - Linear(10)\n"
    assert fixed.done == ("insert a space", "write `Conv2d`", "insert `Flatten`")


def test_a_text_without_faults_stays() -> None:
    text = HEAD + "layers: [ReLU]\n"
    assert api.fix(text, ignore=["W301"]) == (text, ())


def test_check_fix_writes_the_file_and_says_what(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + (HEAD + "layers:\n  - Con2d(8, 3)\n").replace("\n", "\r\n").encode())
    result = CliRunner().invoke(app, [str(path), "--fix", "--ignore", "W301"])
    assert (result.exit_code, result.stderr.strip()) == (0, f"fixed {path}: write `Conv2d`")
    assert path.read_bytes() == b"\xef\xbb\xbf" + (HEAD + "layers:\n  - Conv2d(8, 3)\n").replace("\n", "\r\n").encode()


def test_the_work_of_mending_is_bounded() -> None:
    looks = 0

    def find(text: str) -> list[Diagnostic]:
        nonlocal looks
        looks += 1
        place = Place(1, 1, 1)
        fix = Fix(f"write {looks}", (Edit(place.span, "x"),))
        return [Diagnostic("E103", "never mended", place, fix=fix)] * 9

    assert mend("a\n", find) == ("a\n", ())
    assert looks <= 42


def test_a_fix_that_does_not_help_is_not_made() -> None:
    place = Place(1, 1, 1)
    worse = Diagnostic("E103", "a", place, fix=Fix("make it worse", (Edit(place.span, "bb"),)))
    assert mend("a\n", lambda text: [worse] * len(text)) == ("a\n", ())
