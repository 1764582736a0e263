"""Every stage of an export takes a draft and gives the next one, or raises before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

import cnnspec
from cnnspec.errors import UsageError, VerificationError
from cnnspec.exporting.options import ExportOptions, Quantization
from cnnspec.exporting.pipeline import lower_draft
from cnnspec.exporting.proof import prove
from cnnspec.exporting.subject import Subject, of_spec
from cnnspec.exporting.write import output_path, write
from cnnspec.onnx_backend.metadata import check_seal
from cnnspec.onnx_backend.options import Lowering
from cnnspec.onnx_backend.verify import Check


@pytest.fixture
def subject() -> Subject:
    spec = cnnspec.load("lenet5")
    return of_spec(spec, None, 0)


def test_a_draft_collects_the_checks_of_its_stages_and_is_written_last(subject: Subject) -> None:
    options = ExportOptions(Lowering(batch=2))
    lowered = lower_draft(subject, output_path(subject, None, options), options)
    assert [check.name for check in lowered.checks] == ["onnx.checker", "shapes"]
    said: list[str] = []
    proved = prove(lowered, said.append)
    assert proved.checks[:2] == lowered.checks
    assert [check.name for check in proved.checks[2:]] == ["numbers", "other weights and statistics"]
    assert said == ["comparing with torch"]
    assert not Path("exports").exists()
    assert write(proved) == Path("exports/lenet5.onnx").stat().st_size
    check_seal(Path("exports/lenet5.onnx").read_bytes(), "it")


def test_a_check_that_fails_ends_the_way_and_names_the_file(subject: Subject) -> None:
    draft = lower_draft(subject, Path("l.onnx"), ExportOptions())
    assert draft.checked(Check("a", True, "right")).checks[-1].name == "a"
    with pytest.raises(VerificationError, match=r"l\.onnx was not written, because a check failed: b: wrong; c: bad$"):
        draft.checked(Check("a", True, "right"), Check("b", False, "wrong"), Check("c", False, "bad"))


def test_a_softmax_after_a_softmax_is_refused_by_the_first_stage() -> None:
    spec = cnnspec.loads("{cnnspec: 1, name: s, input: [4], layers: [Linear(3), Softmax(1)]}")
    subject = of_spec(spec, None, 0)
    with pytest.raises(UsageError, match="ends in a Softmax already"):
        lower_draft(subject, Path("s.onnx"), ExportOptions(Lowering(softmax=True)))


def test_the_precision_follows_from_how_the_network_is_lowered() -> None:
    assert ExportOptions().precision == "fp32"
    assert ExportOptions(Lowering(half=True)).precision == "fp16"
    assert ExportOptions(quantization=Quantization()).precision == "int8"
