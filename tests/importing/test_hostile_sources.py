"""Files that are damaged on purpose: each is read or refused clearly, in bounded memory."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import multiprocessing
import os
import random
import zipfile
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx_files import graph_of, initial

from cnnspec.errors import CnnspecError
from cnnspec.foreign import lift
from cnnspec.foreign.keras_config import read_config
from cnnspec.foreign.keras_reader import read_keras
from cnnspec.importing.keras_model import read_keras_model
from cnnspec.onnx_backend.read import opened, read_onnx

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, float("nan"), "", "same", "x" * 5000, [], [1], [[1]], {}, [-3, 2],
)  # fmt: skip


def network() -> onnx.ModelProto:
    """A graph with something of everything that is read."""
    values = np.random.default_rng(0).standard_normal

    def weights(name: str, *shape: int) -> Any:
        return initial(name, values(shape).astype(np.float32))

    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2], name="/stem/conv/Conv"),
        helper.make_node("BatchNormalization", ["a", "s", "s", "s", "s"], ["n"], epsilon=1e-3, name="/stem/bn/Bn"),
        helper.make_node("Relu", ["n"], ["r"], name="/stem/Relu"),
        helper.make_node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], pads=[0, 0, 1, 1], name="/pool/MaxPool"),
        helper.make_node("Split", ["p"], ["p1", "p2"], axis=1),
        helper.make_node("Concat", ["p2", "p1"], ["c"], axis=1),
        helper.make_node("Transpose", ["c"], ["t"], perm=[0, 2, 3, 1]),
        helper.make_node("MatMul", ["t", "m"], ["d"]),
        helper.make_node("Add", ["d", "v"], ["e"]),
        helper.make_node("Mul", ["e", "two"], ["f"]),
        helper.make_node("Clip", ["f", "", "two"], ["g"]),
        helper.make_node("Slice", ["g", "start", "end", "axes"], ["h"]),
        helper.make_node("Pad", ["h", "pads"], ["i"]),
        helper.make_node("Shape", ["i"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["batch"]),
        helper.make_node("Concat", ["batch", "minus"], ["row"], axis=0),
        helper.make_node("Reshape", ["i", "row"], ["j"]),
        helper.make_node("Gemm", ["j", "head"], ["k"], transB=1),
        helper.make_node("Softmax", ["k"], ["y"], axis=-1),
    ]
    tensors = [
        weights("w", 4, 3, 3, 3), weights("b", 4), weights("s", 4), weights("m", 4, 6), weights("v", 6),
        initial("two", np.float32(2)), initial("start", np.array([1])), initial("end", np.array([9])),
        initial("axes", np.array([-1])), initial("pads", np.array([0, 1, 0, 0, 0, 0, 1, 0])),
        initial("zero", np.array([0])), initial("minus", np.array([-1])), weights("head", 5, 125),
    ]  # fmt: skip
    return graph_of(nodes, tensors)


def damaged(model: onnx.ModelProto, count: int) -> Iterator[bytes]:
    """Files with flipped, cut or doubled bytes, and models with parts changed, taken out or put elsewhere."""
    whole = model.SerializeToString()
    for number in range(count):
        chance = random.Random(number)
        if number % 3 == 0:
            data = bytearray(whole)
            for _ in range(chance.randint(1, 8)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            yield bytes(data[: chance.choice((len(data), chance.randrange(len(data))))])
            continue
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        for _ in range(chance.randint(1, 3)):
            _change(changed.graph, chance)
        yield changed.SerializeToString()


def _change(graph: Any, chance: random.Random) -> None:
    node = chance.choice(graph.node)
    match chance.randrange(8):
        case 0 if node.attribute:
            attribute = chance.choice(node.attribute)
            fresh = helper.make_attribute(
                attribute.name, chance.choice([0, -1, 2**62, 1.5, "x", [0, 0], [-1] * 4, [2**40] * 4, [3] * 9])
            )
            attribute.CopyFrom(fresh)
        case 1 if node.input:
            node.input[chance.randrange(len(node.input))] = chance.choice(
                ["", "x", "w", "shape", "y", "nowhere", "two"]
            )
        case 2:
            node.op_type = chance.choice([each.op_type for each in graph.node] + ["Loop", "ConstantOfShape", "Expand"])
        case 3 if node.input:
            del node.input[-1]
        case 4:
            tensor = chance.choice(graph.initializer)
            tensor.dims[:] = [chance.choice((-1, 0, 1, 3, 2**40)) for _ in range(chance.randrange(6))]
        case 5:
            tensor = chance.choice(graph.initializer)
            tensor.data_type = chance.randrange(20)
        case 6:
            graph.input[0].type.tensor_type.shape.dim[chance.randrange(4)].dim_value = chance.choice((-5, 0, 2**50, 1))
        case _:
            node.output[0] = chance.choice([name for each in graph.node for name in each.output])


def is_clear(error: CnnspecError, name: str) -> bool:
    """A refusal names its file, in a line or two; anything else fails the test."""
    if name not in error.message or len(error.message) >= 700:
        raise AssertionError(error.message)
    return True


def read(data: bytes) -> bool:
    """Whether a file is read, and not refused. Any other error than a refusal is one of the test."""
    try:
        lift(read_onnx(opened(data, "net.onnx"), "net", "net.onnx").network)
    except CnnspecError as error:
        return not is_clear(error, "net.onnx")
    return True


def check_onnx(count: int) -> None:
    assert read(network().SerializeToString())
    results = [read(data) for data in damaged(network(), count)]
    assert results.count(False) > count // 5


def test_damaged_onnx_files_are_refused() -> None:
    check_onnx(300)


def sizes(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document: what it is in, and its key."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, value in items:
        yield document, key
        yield from sizes(value)


def check_keras(count: int) -> None:
    text = (Path(__file__).parent / "keras_config.json").read_text(encoding="utf-8")
    assert lift(read_keras(read_config(json.loads(text), "net.keras"), "net.keras").network).graph is not None
    refused = 0
    for number in range(count):
        chance = random.Random(number)
        document = json.loads(text)
        for _ in range(chance.randint(1, 3)):
            part, key = chance.choice(list(sizes(document)))
            if chance.random() < 0.2:
                del part[key]
            else:
                part[key] = copy.deepcopy(chance.choice(VALUES))
        try:
            lift(read_keras(read_config(document, "net.keras"), "net.keras").network)
        except CnnspecError as error:
            refused += is_clear(error, "net.keras")
    assert refused > count // 10


def test_damaged_configurations_of_keras_are_refused() -> None:
    check_keras(300)


# Archives ------------------------------------------------------------------------------------------------------------


def archive(folder: Path) -> dict[str, bytes]:
    """The members of a small file of Keras."""
    os.environ.setdefault("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="Keras makes the files that are damaged")
    given = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(given)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Flatten()(keras.layers.ReLU()(x))
    path = folder / "whole.keras"
    keras.Model(given, keras.layers.Dense(5)(x)).save(path)
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def flipped(data: bytes, chance: random.Random) -> bytes:
    """With some bytes changed, and perhaps cut."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        # What says how the rest lies comes first and last in archives, and first in HDF5.
        most = chance.choice((len(changed), min(2000, len(changed))))
        changed[chance.randrange(most) * chance.choice((1, -1))] = chance.randrange(256)
    return bytes(changed[: len(changed) if chance.random() < 0.8 else chance.randrange(len(changed))])


def zipped(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return buffer.getvalue()


def damaged_archive(members: dict[str, bytes], chance: random.Random) -> bytes:
    """An archive that is damaged, or a whole one of something damaged."""
    members = dict(members)
    name = chance.choice(list(members))
    match chance.randrange(5):
        case 0:
            return flipped(zipped(members), chance)
        case 1:
            del members[name]
        case 2:
            members[name] = members[chance.choice(list(members))]
        case _:
            members["model.weights.h5"] = flipped(members["model.weights.h5"], chance)
    return zipped(members)


def read_archives(pipe: Connection, folder: Path, count: int, members: dict[str, bytes]) -> None:
    """Reads damaged archives, and says of each what came of it: HDF5 is not Python, and could end the process."""
    path = folder / "net.keras"
    for number in range(count):
        pipe.send(f"{number} ended the process")
        path.write_bytes(damaged_archive(members, random.Random(number)))
        try:
            model = read_keras_model(path, None)
            lift(model.network)
            model.tensors()
            pipe.send("read")
        except CnnspecError as error:
            pipe.send("refused" if is_clear(error, "net.keras") else "")
        except Exception as error:
            pipe.send(f"{number}: {type(error).__name__}: {error}")


def check_archives(folder: Path, count: int) -> None:
    members = archive(folder)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=read_archives, args=(there, folder, count, members))
    process.start()
    there.close()
    results: list[str] = []
    with contextlib.suppress(EOFError):
        while True:
            results.append(here.recv())
    process.join()
    wrong = [each for each in results[1::2] if each not in ("read", "refused")]
    assert not wrong
    assert len(results) == 2 * count, results[-1]
    assert results.count("refused") > count // 5


def test_damaged_archives_of_keras_are_refused(tmp_path: Path) -> None:
    check_archives(tmp_path, 150)


@pytest.mark.long
def test_three_thousand_damaged_files_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    import resource

    check_archives(tmp_path, 3000)  # loads Keras, and reads in a process of its own
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_onnx(3000)
    check_keras(3000)
    for whom in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        assert resource.getrusage(whom).ru_maxrss - before < 512 * 1024  # KiB
