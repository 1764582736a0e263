"""The section `search` of a spec: what is refused where, and what a space holds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from search_support import FINITE, SPEC, plan_of

import cnnspec
from cnnspec import api
from cnnspec.errors import SpecError, UsageError
from cnnspec.search.space import Candidate, draw, every, look


def changed(*changes: tuple[str, str]) -> str:
    text = SPEC
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return text


@pytest.mark.parametrize(
    ("before", "after", "line", "column", "words"),
    [
        ("space: {width", "space: {widht", 13, 11, "`widht`, which is no parameter"),
        ("step: 2", "step: 3", 13, 39, "does not come to 16"),
        ("step: 2", "step: 0", 13, 39, "`step` is a whole number above 0"),
        ("[2, 16]", "[16, 2]", 13, 24, "ends before it begins"),
        ("[2, 16]", "[2, 1.5]", 13, 24, "two whole numbers"),
        ("[2, 16]", "[2]", 13, 24, "two whole numbers"),
        ("{int:", "{itn:", 13, 19, "is one of `int`, `float`, `log`"),
        ("[1, 3, 5]", "[]", 13, 51, "has no values to choose from"),
        ("[1, 3, 5]", "3", 13, 51, "has no values to choose from"),
        ("[1, 3, 5]", "[1, 3, 3]", 13, 58, "stands twice"),
        ("[ReLU, SiLU]", "[ReLU, Swosh]", 13, 74, "`Swosh` is not defined here"),
        ("train.lr", "train.lrr", 13, 81, "there is no training option `lrr`"),
        ("train.lr: {log: [0.01, 0.2]}", "train.device: [cpu, cuda]", 13, 81, "is the same for all trials"),
        ("train.lr: {log: [0.01, 0.2]}", "train.batch_size: {float: [8, 9]}", 13, 108, "a valid integer"),
        ("[0.01, 0.2]", "[0, 0.2]", 13, 97, "begins above 0"),
        ("[0.01, 0.2]", "[0.01, 1e10]", 13, 104, "`train.lr`: "),
        ("params: 3k", "params: 3kB", 14, 20, "has the unit `kB`"),
        ("params: 3k", "parms: 3k", 14, 12, "there is no limit on `parms`"),
        ('field: ">= 3"', "field: 3", 14, 42, "says which way"),
        ("trials: 3", "trials: 0", 15, 11, "`trials` is a whole number"),
        ("trials: 3", "trails: 3", 15, 3, "`search` has no key `trails`"),
        ("trials: 3", "cost: fields", 15, 9, "`cost` is one of params, macs"),
        ("trials: 3", "prune: 3", 15, 10, "`prune` is true or false"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(before: str, after: str, line: int, column: int, words: str) -> None:
    (fault,) = api.check("net.yaml", text=changed((before, after))).diagnostics
    assert words in fault.message
    assert fault.code in ("E120", "E107")
    assert fault.place is not None
    assert (fault.place.line, fault.place.column) == (line, column)


def test_the_language_the_schema_and_the_formatter_take_the_section() -> None:
    import yaml

    assert not api.check("net.yaml", text=SPEC).errors
    validator = Draft7Validator(api.json_schema())
    assert not list(validator.iter_errors(yaml.safe_load(SPEC)))
    assert list(validator.iter_errors(yaml.safe_load(changed(("trials: 3", "trails: 3")))))
    assert list(validator.iter_errors(yaml.safe_load(changed(("params: 3k", "parms: 3k")))))
    formatted = api.format_text(SPEC)
    assert api.format_text(formatted) == formatted
    before, after = (cnnspec.loads(text).source.document.search for text in (SPEC, formatted))
    assert before is not None
    assert after is not None
    assert before.plain == after.plain
    assert before.limits == after.limits


def test_a_file_has_the_same_section(tmp_path: Path) -> None:
    spec, own = tmp_path / "net.yaml", tmp_path / "own.yaml"
    spec.write_text(SPEC.partition("# what varies")[0])
    with pytest.raises(UsageError, match="has no section `search`"):
        api.screen(spec)
    for text in ("space: {width: [2, 4, 8]}\n", "search: {space: {width: [2, 4, 8]}}\n"):
        own.write_text(text)
        assert len(api.screen(spec, search=own).looked) == 3
    own.write_text("space: {widht: [2, 4, 8]}\n")
    with pytest.raises(SpecError, match="`space` names `widht`") as caught:
        api.screen(spec, search=own)
    assert caught.value.message.startswith(f"{own}:1:9: E120")
    own.write_text("space: {train.momentum: {float: [0, 2]}}\n")
    with pytest.raises(SpecError, match=r"`train.momentum`: input should be less than"):
        api.screen(spec, search=own)
    own.write_text("a: [\n")
    with pytest.raises(SpecError, match=r"own.yaml"):
        api.screen(spec, search=own)


def test_candidates_at_random_are_of_the_space_and_plain() -> None:
    section = plan_of().section
    source = random.Random(0)
    drawn = [draw(section, source) for _ in range(300)]
    assert {type(value) for each in drawn for value in each.values.values()} == {int, str, float}
    assert {each.values["width"] for each in drawn} == {*range(2, 17, 2)}
    rates = [float(each.options["lr"] or 0) for each in drawn]
    assert min(rates) >= 0.01
    assert max(rates) <= 0.2
    below = sum(rate < (0.01 * 0.2) ** 0.5 for rate in rates)
    assert 100 < below < 200  # the middle by order of magnitude is where half of them are below


def test_the_whole_of_a_small_space_is_looked_at() -> None:
    plan = plan_of(FINITE)
    assert plan.section.size == 8 * 3 * 2
    seen = api.screen(cnnspec.loads(FINITE))
    assert seen.whole
    assert [each.candidate for each in seen.looked] == [*every(plan.section)]
    fitting = [
        each
        for each in every(plan.section)
        if cnnspec.judge(
            cnnspec.loads(FINITE, params=each.params), {"params": "3k", "macs": "20k", "field": ">= 3"}
        ).fits
    ]
    assert [each.candidate for each in seen.fitting] == fitting
    assert 0 < len(fitting) < 48
    by_hand = sum(1 for each in seen.valid if each.verdict and each.verdict.figures.params > 3000)
    assert next(each for each in seen.bindings if each.limit == "params").broken == by_hand


def test_what_binds_and_the_nearest_miss() -> None:
    seen = api.screen(cnnspec.loads(FINITE.replace("params: 3k", "params: 10")))
    assert not seen.fitting
    assert seen.bindings[0].limit == "params"
    assert seen.nearest is not None
    assert seen.nearest.candidate.params["width"] == 2
    assert seen.to_dict()["nearest_miss"]["violations"][0] == "params"


def test_candidates_that_make_no_network_say_why() -> None:
    seen = api.screen(cnnspec.loads(FINITE.replace("[1, 3, 5]", "[3, 99]")))
    ((reason, count),) = seen.faults
    assert reason.startswith("E201 in line 7: ")
    assert count == 16
    assert len(seen.valid) == 16
    seen = api.screen(cnnspec.loads(FINITE.replace("{int: [2, 16], step: 2}", "{int: [-4, -1]}")))
    assert seen.faults == [("E106 in line 7: `out_channels` must be at least 1, not -4", 24)]


def test_equal_networks_are_one_architecture() -> None:
    plan = plan_of(FINITE.replace("kernel: [1, 3, 5]", "unused: [1, 2]"))
    looks = [look(plan.network, each, plan.section.limits) for each in every(plan.section)]
    assert len({each.architecture for each in looks}) == len(looks) / 2
    first = look(plan.network, Candidate({"width": 4, "train.lr": 0.1}), {})
    other = look(plan.network, Candidate({"width": 4, "train.lr": 0.2}), {})
    assert first.architecture != other.architecture  # it would be trained otherwise
