"""Exported files that somebody has changed with a program and sealed again: run, or refused clearly."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from test_trial import resealed

import cnnspec
from cnnspec.errors import CnnspecError

NAMES = ("", "x", "../x", "\x1b[31m", "a\nb", "input", "n" * 3000, "\u202e")
NUMBERS: tuple[Any, ...] = (-1, 0, 1, 2, 3, 7, 1000, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63))
OPERATORS = (
    "Loop", "If", "Scan", "Tile", "Expand", "Resize", "ConstantOfShape", "Range", "NonZero", "Reshape", "Conv", "Gemm",
    "MatMul", "Softmax", "MaxPool", "Cast", "Identity", "Pad", "Relu", "RandomNormal", "ImageDecoder",
    "TfIdfVectorizer", "Nonsense", "EPContext", "OptionalGetElement", "SequenceConstruct", "Concat", "Slice", "Trilu",
    "ScatterND",
)  # fmt: skip
VALUES = (
    "",
    "[]",
    "{",
    "null",
    "1",
    "[1, 28, 28]",
    "[-1]",
    "[1e9, 1]",
    "cnnspec: 1",
    "x" * 9999,
    '["a", "a"]',
    "\x1b[0m",
)


def _text(draw: random.Random) -> str:
    return draw.choice((*NAMES, *VALUES))


def _node(model: onnx.ModelProto, draw: random.Random) -> None:
    node = draw.choice(model.graph.node)
    match draw.randrange(6):
        case 0:
            node.op_type = draw.choice(OPERATORS)
        case 1:
            node.domain = draw.choice(("com.microsoft", "ai.onnx.ml", "evil", "ai.onnx"))
        case 2 if node.input:
            node.input[draw.randrange(len(node.input))] = draw.choice((*NAMES, *draw.choice(model.graph.node).output))
        case 3 if node.output:
            node.output[0] = draw.choice(NAMES)
        case 4 if node.attribute:
            attribute = draw.choice(node.attribute)
            values: Any = draw.choice((draw.choice(NUMBERS), [draw.choice(NUMBERS) for _ in range(draw.randrange(5))]))
            attribute.CopyFrom(helper.make_attribute(attribute.name, values or [1]))
        case _:
            node.attribute.append(helper.make_attribute(draw.choice(("axis", "group", "pads", "body", "to")), 7))


def _tensor(model: onnx.ModelProto, draw: random.Random) -> None:
    tensor = draw.choice(model.graph.initializer)
    match draw.randrange(6):
        case 0:
            tensor.dims[:] = [draw.choice(NUMBERS) for _ in range(draw.randrange(5))]
        case 1:
            tensor.data_type = draw.randrange(25)
        case 2:
            tensor.raw_data = bytes(draw.choice((0, 1, 4, 4096)))
        case 3:
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.append(onnx.StringStringEntryProto(key="location", value="/etc/passwd"))
        case 4:
            tensor.name = draw.choice(NAMES)
        case _:
            value = np.full(tuple(tensor.dims), draw.choice((np.nan, np.inf, -1e38, 0.0)), np.float32)
            tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _head(model: onnx.ModelProto, draw: random.Random) -> None:
    entry = draw.choice(model.metadata_props)
    match draw.randrange(7):
        case 0:
            entry.value = _text(draw)
        case 1:
            model.metadata_props.remove(entry)
        case 2:
            model.metadata_props.append(onnx.StringStringEntryProto(key=entry.key, value=_text(draw)))
        case 3:
            model.graph.output[0].name = draw.choice(NAMES)
        case 4:
            axis = draw.choice(model.graph.input[0].type.tensor_type.shape.dim)
            axis.dim_value = draw.choice(NUMBERS)
        case 5:
            model.ir_version = draw.choice(NUMBERS)
        case _:
            model.opset_import[0].version = draw.choice(NUMBERS)


def attack(folder: Path, count: int, seed: int) -> int:
    """So many changed files through all that opens one. How many still ran."""
    files = []
    for name in ("lenet5", "simple_cnn"):
        files.append(Path(cnnspec.export(name, folder / f"{name}.onnx", verify=False).path).read_bytes())
    image = np.zeros((28, 28), np.uint8)
    ran = 0
    for turn in range(count):
        draw = random.Random(f"{seed}/{turn}")
        model = onnx.load_from_string(draw.choice(files))
        for _ in range(draw.choice((1, 1, 1, 2, 4))):
            draw.choice((_node, _tensor, _head))(model, draw)
        path = folder / "changed.onnx"
        path.write_bytes(resealed(model.SerializeToString()))
        for use in (
            lambda path: cnnspec.Predictor(path, device="cpu")(image),
            lambda path: cnnspec.load(path).analyze(),
        ):
            try:
                use(path)
                ran += 1
            except CnnspecError as error:
                assert len(error.message) < 3000, (seed, turn)  # noqa: PT017
            except BaseException as error:
                raise AssertionError(f"{seed}/{turn}: {type(error).__name__}: {error}") from error
    return ran


def test_changed_files_run_or_are_refused(tmp_path: Path) -> None:
    assert attack(tmp_path, 40, seed=1) > 4


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 20))
def test_many_changed_files_run_or_are_refused(tmp_path: Path, seed: int) -> None:
    assert attack(tmp_path, 300, seed) > 30
