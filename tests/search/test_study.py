"""Trials and their study: what is proposed, who trains it, and what is put right after a process was killed."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial
from search_support import FINITE, SPEC, Heard, plan_of, worker_of

import cnnspec
from cnnspec import api
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.search.folder import SearchFolder
from cnnspec.search.journal import candidate_of, distributions, mend, open_study, quiet
from cnnspec.search.propose import ExhaustedError, Proposer
from cnnspec.search.screen import screen
from cnnspec.search.space import look
from cnnspec.search.trials import Claim, run_trial
from cnnspec.training.shared import Shared


def claimed(worker: object) -> Claim:
    claim = worker.claim()  # type: ignore[attr-defined]
    assert isinstance(claim, Claim)
    return claim


def test_a_search_trains_what_is_within_the_limits_and_continues(tmp_path: Path) -> None:
    heard = Heard()
    spec = cnnspec.loads(SPEC, purpose="train")
    result = api.search(spec, data="digits", searches=tmp_path, progress=heard, device="cpu")
    assert heard.trials == ["t0000", "t0001", "t0002"]
    assert result.done == 3
    limits = {"params": "3k", "macs": "20k", "field": ">= 3"}
    for record in result.trials:
        assert cnnspec.judge(spec.with_params(record.candidate.params), limits).fits
        run = api.open_run(record.run)  # an ordinary one
        assert run.config.lr == record.candidate.options["lr"]
        assert run.network.params["width"] == str(record.candidate.params["width"])
        assert record.accuracy == max(epoch.val_accuracy for epoch in run.metrics)
        assert len(run.metrics) == record.epochs
    again = api.search(spec, data="digits", searches=tmp_path, progress=heard, device="cpu", trials=4)
    assert again.trials[:3] == result.trials
    assert heard.trials == ["t0000", "t0001", "t0002", "t0003"]
    front = again.front()
    assert [each.figures.macs for each in front] == sorted(each.figures.macs for each in front)
    assert again.best in front
    for record in again.trials:  # nothing beats one of the front, and something every other
        if record.status == "complete":
            beaten = any(
                (other.accuracy or 0) >= (record.accuracy or 0)
                and other.figures.macs <= record.figures.macs
                and ((other.accuracy or 0), -other.figures.macs) != ((record.accuracy or 0), -record.figures.macs)
                for other in again.trials
                if other.status == "complete"
            )
            assert beaten != (record in front)
    api.open_search("small", searches=tmp_path, picture=tmp_path / "front.png")
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match=r"front.gif is no picture of a search"):
        api.open_search("small", searches=tmp_path, picture=tmp_path / "front.gif")
    with pytest.raises(UsageError, match=r"no trial of .* has a measured latency"):
        api.open_search("small", searches=tmp_path, cost="latency")
    run = api.write_best("small", tmp_path / "best.yaml", searches=tmp_path)
    best = cnnspec.load(tmp_path / "best.yaml")
    assert best.graph.nodes == api.open_run(run).graph.nodes
    assert best.source.document.search is None
    assert best.source.document.header.train["lr"] == api.open_run(run).config.lr
    assert "what varies" not in best.source.text
    with pytest.raises(UsageError, match="is there already"):
        api.write_best("small", tmp_path / "best.yaml", searches=tmp_path)
    for change, words in (
        ({"seed": 1}, "`seed`"),
        ({"epochs": 2}, "`epochs`"),
        ({"pareto": True}, "`--pareto`"),
    ):
        with pytest.raises(UsageError, match=words):
            api.search(spec, data="digits", searches=tmp_path, progress=False, device="cpu", **change)
    other = cnnspec.loads(SPEC.replace("width: 4", "width: 6"), purpose="train")
    with pytest.raises(UsageError, match="over another network"):
        api.search(other, data="digits", searches=tmp_path, progress=False)
    limits = cnnspec.loads(SPEC.replace("params: 3k", "params: 4k"), purpose="train")
    with pytest.raises(UsageError, match=r"was begun with `limits: .*3k.*`, and not .*4k"):
        api.search(limits, data="digits", searches=tmp_path, progress=False, device="cpu")
    np.savez(tmp_path / "other.npz", x=np.zeros((60, 8, 8), np.uint8), y=np.arange(60) % 10)
    with pytest.raises(UsageError, match="has other images or labels"):
        api.search(spec, data=str(tmp_path / "other.npz"), searches=tmp_path, progress=False, device="cpu")


def test_cost_can_be_an_objective(tmp_path: Path) -> None:
    spec = cnnspec.loads(FINITE, purpose="train")
    options = {"data": "digits", "searches": tmp_path, "progress": False, "device": "cpu", "pareto": True}
    result = api.search(spec, epochs=1, **options)
    assert [record.status for record in result.trials] == ["complete"] * 3
    study = open_study(SearchFolder(result.path), result.plan)
    assert [trial.values for trial in study.get_trials()] == [
        [record.accuracy, record.figures.macs] for record in result.trials
    ]


def test_half_a_line_at_the_end_of_the_journal_is_taken_away(tmp_path: Path) -> None:
    plan = plan_of()
    first = worker_of(tmp_path / "s", plan)
    claim = claimed(first)
    journal = tmp_path / "s" / "study.journal"
    whole = journal.read_bytes()
    for torn in (b'{"op_code": 4, "wor', b"x" * 200_000, b"{"):
        journal.write_bytes(whole + torn)
        reader = open_study(SearchFolder(tmp_path / "s"), plan, write=False)  # who only reads is not disturbed
        assert len(reader.get_trials()) == 1
        assert len(open_study(SearchFolder(tmp_path / "s"), plan).get_trials()) == 1
        assert journal.read_bytes().startswith(whole)
        assert all(json.loads(line) for line in journal.read_text().splitlines())
    journal.write_bytes(whole + b'{"half')  # by another process, while this one is at work
    claim.trial.report(0.5, 1)
    claim.lock.release()
    study = open_study(SearchFolder(tmp_path / "s"), plan)
    assert study.get_trials()[0].intermediate_values == {1: 0.5}
    for line in journal.read_text().splitlines():
        json.loads(line)
    mend(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.write_bytes(b"no line at all")
    mend(empty)
    assert empty.read_bytes() == b""


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    plan = plan_of()
    claimed(worker_of(tmp_path / "s", plan)).lock.release()
    journal = tmp_path / "s" / "study.journal"
    journal.write_bytes(b"no json\n" + journal.read_bytes())
    with pytest.raises(CnnspecError, match=r"study.journal is damaged"):
        open_study(SearchFolder(tmp_path / "s"), plan)


def test_a_trial_that_was_left_behind_is_taken_up_under_its_number(tmp_path: Path) -> None:
    plan = plan_of()
    first, second = worker_of(tmp_path / "s", plan), worker_of(tmp_path / "s", plan)
    held = claimed(first)
    new = claimed(second)
    assert (held.number, new.number) == (0, 1)  # what somebody is at work on is left to him
    held.lock.release()  # as the system does for a process that is killed
    third = claimed(second)
    assert third.number == 0
    assert third.looked.candidate == held.looked.candidate
    assert third.looked.architecture == held.looked.architecture
    for claim in (new, third):
        claim.lock.release()


def test_a_trial_whose_values_were_not_noted_yet_gets_the_same(tmp_path: Path) -> None:
    plan = plan_of()
    first = worker_of(tmp_path / "s", plan)
    claim = claimed(first)
    claim.lock.release()
    journal = tmp_path / "s" / "study.journal"
    lines = journal.read_text().splitlines(keepends=True)
    noted = next(number for number, line in enumerate(lines) if json.loads(line)["op_code"] == 5)
    for cut in range(noted, len(lines)):  # killed after each line
        journal.write_text("".join(lines[:cut]))
        again = claimed(worker_of(tmp_path / "s", plan))
        assert again.number == 0
        assert again.looked.candidate == claim.looked.candidate
        again.lock.release()


def test_a_proposal_that_nobody_took_is_taken_first(tmp_path: Path) -> None:
    plan = plan_of()
    first = worker_of(tmp_path / "s", plan)
    assert first._enqueue([])
    claim = claimed(worker_of(tmp_path / "s", plan))
    assert claim.number == 0
    assert len(first.study.get_trials()) == 1
    claim.lock.release()


def test_reports_that_were_lost_are_made_from_the_run(tmp_path: Path) -> None:
    plan, shared = plan_of(SPEC.replace("trials: 3", "trials: 1\n  prune: false")), Shared()
    worker = worker_of(tmp_path / "s", plan, shared=shared)
    with quiet():
        worker.work()
        (done,) = worker.study.get_trials()
        assert sorted(done.intermediate_values) == [1, 2, 3]
        journal = tmp_path / "s" / "study.journal"
        lines = journal.read_text().splitlines(keepends=True)
        first = next(number for number, line in enumerate(lines) if json.loads(line)["op_code"] == 7)
        journal.write_text("".join(lines[:first]))  # as if nothing had been reported
        again = worker_of(tmp_path / "s", plan, shared=shared)
        again.work()
        (same,) = again.study.get_trials()
    assert same.intermediate_values == done.intermediate_values
    assert same.values == done.values
    assert same.user_attrs["outcome"] == done.user_attrs["outcome"]  # nothing was trained again


def test_a_trial_that_was_pruned_stays_so(tmp_path: Path) -> None:
    plan = plan_of()
    worker = worker_of(tmp_path / "s", plan)
    claim = claimed(worker)
    claim.trial.report(0.1, 1)
    claim.trial.set_user_attr("pruned", 1)  # and the process is killed before it says so
    claim.lock.release()
    again = claimed(worker_of(tmp_path / "s", plan))
    run_trial(again, worker.folder, plan, worker.machine, Shared(), lambda done: None)
    again.lock.release()
    (trial,) = worker.study.get_trials()
    assert (trial.state, trial.value) == (TrialState.PRUNED, 0.1)
    assert not worker.folder.trial(0).exists()


def test_no_trial_is_pruned_behind_its_last_epoch(tmp_path: Path) -> None:
    """With three epochs the second rung of the halving is at the end, where nothing is saved any more."""
    plan, shared = plan_of(SPEC.replace("trials: 3", "trials: 6")), Shared()
    with quiet():
        worker_of(tmp_path / "s", plan, shared=shared).work()
    records = worker_of(tmp_path / "s", plan, shared=shared).standing().records
    assert {(record.status, record.epochs) for record in records} == {("complete", 3), ("pruned", 1)}


def test_a_trial_whose_training_fails_is_a_bad_one_and_three_are_an_error(tmp_path: Path) -> None:
    text = SPEC.replace("train.lr: {log: [0.01, 0.2]}", "train.lr: [1.0e+8, 2.0e+8]")
    plan, heard = plan_of(text), Heard()
    worker = worker_of(tmp_path / "s", plan, heard)
    with quiet(), pytest.raises(CnnspecError, match="3 trials have failed, and none has not: the loss is"):
        worker.work()
    assert len(heard.trials) == 3
    records = worker.standing().records
    assert {record.status for record in records} == {"failed"}
    assert all(record.failure for record in records)


def test_values_of_numpy_are_plain() -> None:
    section = plan_of().section
    params = {"width": np.int64(4), "kernel": 3, "act": "SiLU", "train.lr": np.float64(0.1)}
    candidate = candidate_of(section, params)  # type: ignore[arg-type]
    assert [type(value) for value in candidate.values.values()] == [int, int, str, float]
    assert repr(candidate.values["train.lr"]) == "0.1"


def finished(plan: object, looked: object, value: float) -> optuna.trial.FrozenTrial:
    attributes = {"architecture": looked.architecture, "figures": {}}  # type: ignore[attr-defined]
    return create_trial(
        state=TrialState.COMPLETE,
        value=value,
        params=dict(looked.candidate.values),  # type: ignore[attr-defined]
        distributions=distributions(plan.section),  # type: ignore[attr-defined]
        user_attrs=attributes,
    )


def test_no_network_is_proposed_twice_and_a_space_can_be_exhausted() -> None:
    plan = plan_of(
        FINITE.replace("width: {int: [2, 16], step: 2}, kernel: [1, 3, 5]", "width: [2, 4], unused: [1, 2, 3]")
    )
    seen = screen(plan.network, plan.section)
    assert len(seen.fitting) == 12
    proposer, trials = Proposer(plan, seen), []
    with quiet():
        for number in range(4):  # two widths and two activations: what is not used makes no difference
            looked = proposer.next(trials)
            trials.append(finished(plan, looked, number / 10))
        assert len({trial.user_attrs["architecture"] for trial in trials}) == 4
        with pytest.raises(ExhaustedError, match="all 12 candidates of the space are tried or beyond the limits"):
            proposer.next(trials)


def test_where_nothing_is_fast_enough_the_nearest_miss_is_told() -> None:
    """Each network is measured once, and what a first screen could not know decides."""
    limits = "params: 3k, macs: 20k, latency: 1ms"
    for text in (FINITE, SPEC):
        plan = plan_of(text.replace('params: 3k, macs: 20k, field: ">= 3"', limits))
        timed: list[str] = []

        def measure(network: cnnspec.Network, timed: list[str] = timed) -> float:
            timed.append(str(network.params))
            return 0.002 + 0.001 * float(network.params["width"])

        proposer = Proposer(plan, screen(plan.network, plan.section), measure)
        words = r"mostly because of `latency`; the nearest is width=2 .*: latency is 4 ms, and the limit latency <= 1"
        with quiet(), pytest.raises(UsageError, match=words):
            proposer.next([])
        assert 20 < len(timed) <= 100
        if text == FINITE:
            assert len(set(timed)) == len(timed)


def test_what_is_rare_is_found_by_a_search_at_random() -> None:
    text = SPEC.replace("trials: 3", "trials: 3\n  sampler: random").replace("params: 3k", "params: 500")
    plan = plan_of(text.replace("width: {int: [2, 16], step: 2}", "width: {int: [1, 2000]}"))
    with quiet():
        assert Proposer(plan, screen(plan.network, plan.section, sample=1)).next([]).fits


def test_the_same_is_proposed_after_the_same() -> None:
    plan = plan_of()
    seen = screen(plan.network, plan.section)
    with quiet():
        for count in (0, 3, 22):
            first: list[optuna.trial.FrozenTrial] = []
            for number in range(count):
                first.append(finished(plan, Proposer(plan, seen).next(first), number / 20))
            once, twice = (Proposer(plan, seen).next(first) for _ in range(2))
            assert once.candidate == twice.candidate


def test_the_sampler_learns_where_the_limits_are() -> None:
    """Of what it looks at, far more is within tight limits than at random."""
    text = SPEC.replace("params: 3k, macs: 20k", "params: 1k, macs: 6k")
    plan = plan_of(text)
    seen = screen(plan.network, plan.section)
    at_random = len(seen.fitting) / len(seen.looked)
    proposer, trials, looked_at = Proposer(plan, seen), [], 0
    look_before = proposer._look

    def counting(candidate: object) -> object:
        nonlocal looked_at
        looked_at += 1
        return look_before(candidate)  # type: ignore[arg-type]

    proposer._look = counting  # type: ignore[method-assign,assignment]
    with quiet():
        for number in range(40):
            if number == 20:
                looked_at = 0
            trials.append(finished(plan, proposer.next(trials), (number * 7 % 40) / 40))
    assert at_random < 0.3
    assert 20 / looked_at > 2 * at_random


def test_what_was_refused_does_not_count_among_the_good_ones() -> None:
    """The sampler takes a share of all that it knows for good: with what was refused, that would be every trial."""
    plan = plan_of(SPEC.replace("params: 3k, macs: 20k", "params: 1k, macs: 6k"))
    seen = screen(plan.network, plan.section)
    trials = [finished(plan, looked, 0.5) for looked in seen.fitting[:20]]
    with quiet():
        scout = Proposer(plan, seen)._scout(trials, random.Random(0))
    known = len(scout.get_trials())
    assert known > 100 + len(trials) / 2
    assert scout.sampler._gamma(known) == 2  # type: ignore[attr-defined]


def test_nothing_within_the_limits_is_said_before_anything_is_made(tmp_path: Path) -> None:
    for text in (FINITE, SPEC):
        spec = cnnspec.loads(text.replace("params: 3k", "params: 10"), purpose="train")
        with pytest.raises(UsageError, match=r"mostly because of `params`; the nearest is width=2 .*: params is \d+"):
            api.search(spec, data="digits", searches=tmp_path / "none", progress=False)
    assert not (tmp_path / "none").exists()


def test_lists_and_variants_and_inputs_are_fixed_in_the_winner(tmp_path: Path) -> None:
    text = """\
cnnspec: 1
name: net
input: {shape: [1, side, side]}
params: {side: 8, depths: [1, 1], act: layer}   # of the network
variants:
  soft: {act: SiLU}
train: {batch_size: 256, threads: 1, channels_last: false}

# two stages
layers:
  a: Conv2d(4, 3, padding=1) * depths[0]
  act: act
  b: Conv2d(8, 3, padding=1) * depths[1]  # the second
  flatten: Flatten
  fc: Linear(10)
search:
  space:
    depths: [[2, 1], [1, 2]]
    side: [8, 10]
  trials: 1
  epochs: 1
"""
    spec = cnnspec.loads(text, purpose="train", variant="soft")
    assert api.screen(spec).whole
    result = api.search(spec, data="digits", searches=tmp_path, name="s", progress=False, device="cpu")
    assert api.open_search("s", searches=tmp_path).trials == result.trials
    api.write_best("s", tmp_path / "best.yaml", searches=tmp_path)
    best = cnnspec.load(tmp_path / "best.yaml")
    assert best.graph.nodes == api.open_run(result.trials[0].run).graph.nodes
    assert best.graph.input_shape[1] == result.trials[0].candidate.params["side"]
    for remark in ("# two stages", "# the second"):
        assert remark in best.source.text


def test_look_gives_the_reason_for_a_value_that_the_language_refuses() -> None:
    plan = plan_of()
    looked = look(
        plan.network, candidate_of(plan.section, {"width": 4, "kernel": 5, "act": "ReLU", "train.lr": 0.1}), {}
    )
    assert looked.fits
