"""The bench measures what it says, and refuses what it cannot measure."""

from __future__ import annotations

import json

import numpy as np
import pytest

import cnnspec
from cnnspec import api
from cnnspec.cli import main
from cnnspec.errors import UsageError
from cnnspec.runtime.bench import Engine, measure, summarize, thread_counts


def test_every_batch_and_thread_count_is_timed_in_both_engines() -> None:
    result = api.bench("lenet5", batches=(1, 4), threads=(1, 2), seconds=0.01, device="cpu")
    rows = [(row.engine, row.batch, row.threads) for row in result.timings]
    wanted = [(engine, b, t) for t in (1, 2) for b in (1, 4) for engine in ("onnxruntime", "torch")]
    assert rows == wanted
    assert result.macs == 416_520
    for row in result.timings:
        assert 0 < row.p50 <= row.p95 <= row.p99
        assert row.runs >= 5
        assert row.images_per_second == pytest.approx(row.batch / row.p50 * 1e3)
        assert row.gflops == pytest.approx(2 * 416_520 * row.images_per_second / 1e9)


def test_a_file_brings_its_own_batch_and_layout(capsys: pytest.CaptureFixture[str]) -> None:
    path = cnnspec.export("lenet5", batch=3, preprocess=True, verify=False).path
    with pytest.raises(SystemExit):
        main(["bench", path, "--seconds", "0.01", "--threads", "1", "--no-torch", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert [(row["engine"], row["batch"]) for row in found["timings"]] == [("onnxruntime", 3)]


def test_a_file_that_ends_earlier_is_counted_and_timed_as_it_is() -> None:
    path = cnnspec.export("lenet5", outputs=("S2",), verify=False).path
    assert api.bench(path, batches=(1,), threads=(1,), seconds=0.01).macs == 6 * 28 * 28 * 5 * 5


def test_options_for_specs_are_refused_where_they_do_nothing() -> None:
    path = cnnspec.export("lenet5", verify=False).path
    for arguments in (["bench", path, "--set", "a=1"], ["verify", path, "--input", "1x9x9"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2


def test_the_table_has_a_row_per_timing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "mlp", "--batches", "1,2", "--seconds", "0.01", "--threads", "1", "--no-torch"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "mlp on cpu, weights random, seed 0"
    assert [line.split()[:3] for line in lines[4:]] == [["onnxruntime", "1", "1"], ["onnxruntime", "2", "1"]]


@pytest.mark.parametrize("wrong", [["--batches", "0"], ["--batches", "a"], ["--threads", "1,-2"], ["--device", "x"]])
def test_wrong_numbers_are_wrong_usage(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["bench", "lenet5", *wrong])
    assert end.value.code == 2


def test_no_batches_are_wrong_usage() -> None:
    with pytest.raises(UsageError):
        api.bench("lenet5", batches=())


def test_percentiles_and_counts() -> None:
    calls: list[int] = []
    assert len(measure(lambda data: calls.append(len(data)), np.zeros(3), 0)) == 5
    assert calls == [3] * 7
    row = summarize([0.001] * 99 + [1.0], Engine("e", "cpu", len), batch=2, threads=1, macs=None)
    assert (row.p50, row.images_per_second, row.gflops) == (pytest.approx(1.0), pytest.approx(2000), None)
    assert row.p99 < 1000
    assert [thread_counts(cores) for cores in (1, 2, 6, 8)] == [(1,), (1, 2), (1, 2, 4, 6), (1, 2, 4, 8)]
