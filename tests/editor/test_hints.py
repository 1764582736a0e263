"""Hints behind lines: those of `inspect` where a text has no errors, and as they were where it has."""

from __future__ import annotations

import pytest

import cnnspec
from cnnspec.editor.hints import Show, hints
from cnnspec.editor.snapshot import Choice, Snapshot, look
from cnnspec.ops import show_shape
from cnnspec.zoo import find

ZOO = (
    "lenet5",
    "resnet18",
    "googlenet",
    "densenet121",
    "mobilenet_v2",
    "unet",
    "efficientnet_b0",
    "vgg11",
    "m5",
    "nin",
)


def text_of(name: str) -> str:
    return find(name)[0].read_text("utf-8")


def shown(snapshot: Snapshot) -> dict[int, str]:
    return {hint.line: hint.text for hint in hints(snapshot)}


@pytest.mark.parametrize("name", ZOO)
def test_facts_are_those_of_inspect(name: str) -> None:
    report = cnnspec.load(name).analyze(purpose="train")
    facts = [fact for facts in look(text_of(name)).facts.values() for fact in facts]
    by_result = {row.name: row for row in report.layers}
    for fact in facts:
        if fact.result != "input":
            row = by_result[fact.result]
            assert (fact.shape, fact.field) == (row.output_shape, row.field_text)
    layers = {fact.name: fact for fact in facts}
    for row in report.layers:
        if row.name in layers and layers[row.name].result == row.name:
            inside = [
                other for other in report.layers if other.name == row.name or other.name.startswith(f"{row.name}.")
            ]
            assert layers[row.name].params == sum(other.params for other in inside)
    assert sum(fact.name in by_result for fact in facts) >= 0.9 * len(by_result)


@pytest.mark.parametrize("name", ZOO)
def test_hints_survive_every_prefix_of_every_line(name: str) -> None:
    text = text_of(name)
    good = look(text)
    all_shown = shown(good)
    lines = text.split("\n")
    survived = wanted = 0
    for number, line in enumerate(lines):
        for length in range(len(line.rstrip()) - len(line.lstrip()) and len(line) - len(line.lstrip()), len(line), 7):
            typed = look("\n".join([*lines[:number], line[:length], *lines[number + 1 :]]), before=good)
            if typed.is_good:
                continue  # another network, whose hints are its own
            now = shown(typed)
            survived += sum(each in now for each in all_shown)
            wanted += len(all_shown)
    assert survived >= 0.95 * wanted


def test_a_broken_line_counts_as_it_was_and_is_said_to_be_kept() -> None:
    good = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(8, 3)\n  - ReLU\n  - Flatten\n")
    broken = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(8, 3)\n  - ReL\n  - Flatten\n", before=good)
    assert shown(broken) == shown(good)
    assert [hint.kept for hint in hints(broken)] == [False, True, True]


def test_a_new_broken_line_counts_as_absent_and_those_below_move() -> None:
    good = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(8, 3)\n  - Flatten\n")
    broken = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(8, 3)\n  - Conv2d(\n  - Flatten\n", before=good)
    assert {4: shown(good)[4], 6: shown(good)[5]} == shown(broken)


def test_a_mistake_that_shows_elsewhere_keeps_what_was() -> None:
    text = "cnnspec: 1\ninput: [3, 9, 9]\nlayers:\n  a: Conv2d(8, 1)\n  b: Conv2d(8, 1)\n  c: Add(a, b)\n  d: Flatten\n"
    good = look(text)
    broken = look(text.replace("b: Conv2d(8", "b: Conv2d(9"), before=good)
    assert shown(broken) == {**shown(good), 5: "→ 9x9x9  rf 1x1"}
    assert [hint.kept for hint in hints(broken)] == [False, False, True, True]


def test_once_the_text_is_valid_nothing_is_kept() -> None:
    good = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers: [Conv2d(8, 3), Flatten]\n")
    broken = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers: [Conv2d(9, 3, Flatten]\n", before=good)
    mended = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers: [Conv2d(9, 3), Flatten]\n", before=broken)
    assert hints(mended) == hints(look(mended.text))


def test_a_line_that_is_used_often_shows_its_first_and_last_copy() -> None:
    hint = next(hint for hint in hints(look(text_of("resnet18"))) if "×8" in hint.text)
    assert hint.text == "→ 64x56x56  rf 19x19 … 512x7x7  rf 371x371  ×8"
    assert len(hint.details.splitlines()) == 8


def test_a_block_that_nothing_calls_says_so() -> None:
    assert [hint.text for hint in hints(look(text_of("resnet18"))) if "called" in hint.text] == ["not called"]
    variant = look(text_of("resnet18"), choice=Choice("resnet50"))
    line = variant.lines.index("  BasicBlock:") + 1
    assert shown(variant)[line] == "not called"


def test_what_is_shown_is_a_choice() -> None:
    snapshot = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(8, 3)\n")
    assert [hint.text for hint in hints(snapshot, Show(False, False, True, True))] == ["→ 224 params  194,400 MACs"]
    assert hints(snapshot, Show(False, False, False, False)) == []


def test_the_past_of_a_text_is_not_kept_for_ever() -> None:
    snapshot = look("cnnspec: 1\ninput: [3, 32, 32]\nlayers: [ReLU]\n")
    for number in range(50):
        snapshot = look(
            f"cnnspec: 1\ninput: [3, 32, {32 + number % 2}]\nlayers: [ReL{'U' * (number % 2)}]\n", before=snapshot
        )
    depth = 0
    while snapshot.good is not None:
        snapshot, depth = snapshot.good, depth + 1
    assert depth <= 1


def test_shapes_are_shown_as_tables_show_them() -> None:
    assert show_shape((8, 30, 30)) in shown(look("cnnspec: 1\ninput: [3, 32, 32]\nlayers:\n  - Conv2d(8, 3)\n"))[4]


def test_a_layer_that_is_known_now_is_not_counted_as_it_was_too() -> None:
    text = "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  - ReLU\n"
    wrong = f"{text}  - add:\n      - Conv2d(8, 1)\n      - Conv2d(4, 1)\n"
    shown = {hint.line: hint.text for hint in hints(look(wrong, before=look(text)))}
    assert (shown[6], shown[7]) == ("→ 8x8x8  rf 1x1", "→ 4x8x8  rf 1x1")
