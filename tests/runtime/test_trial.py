"""Files from strangers take down nothing but the child that tries them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import cnnspec
from cnnspec.errors import CnnspecError, MissingExtraError
from cnnspec.onnx_backend.metadata import UNSEALED, check_seal, seal
from cnnspec.ops import Shape
from cnnspec.runtime.predictor import Predictor
from cnnspec.runtime.trial import Trial, _check_structure


def exported(tmp_path: Path) -> bytes:
    return Path(cnnspec.export("lenet5", tmp_path / "l.onnx", verify=False).path).read_bytes()


def resealed(data: bytes) -> bytes:
    """The bytes with a digest that fits, as a stranger who knows the rule would write them."""
    at = data.rfind(b"cnnspec.sha256\x12@")
    if at < 0 or at + 80 > len(data):
        return data
    start = at + 16
    parts, _ = seal(data[:start] + UNSEALED.encode() + data[start + 64 :])
    return b"".join(parts)


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """One of several kinds of damage."""
    broken = bytearray(data)
    place = int(random.integers(len(data)))
    if random.random() < 0.5:  # the structure is a small part of the file: aim at it
        place = int(random.integers(2000)) if random.random() < 0.5 else len(data) - 1 - int(random.integers(5000))
    match int(random.integers(5)):
        case 0:
            broken[place] ^= 1 << int(random.integers(8))
        case 1:
            broken[place] = int(random.integers(256))
        case 2:
            del broken[place : place + int(random.integers(1, 64))]
        case 3:
            broken[place:place] = random.bytes(int(random.integers(1, 64)))
        case _:
            del broken[place:]
    return bytes(broken)


def check_mutants(data: bytes, count: int, seed: int) -> Counter[str]:
    """Every mutant is refused by its digest; with a fitting digest it is at least survived."""
    random = np.random.default_rng(seed)
    outcomes: Counter[str] = Counter()
    path = Path("mutant.onnx")
    with Trial(seconds=30) as trial:
        for _ in range(count):
            broken = mutated(data, random)
            if broken == data:
                continue
            path.write_bytes(broken)
            with pytest.raises(CnnspecError, match=r"damaged|not exported by cnnspec"):
                Predictor(path)
            try:
                trial.run(resealed(broken), "mutant")
                outcomes["ran"] += 1
            except CnnspecError as error:
                outcomes["crashed" if "crashed" in error.message else "refused"] += 1
    return outcomes


def test_damaged_files_are_refused_and_take_nothing_down(tmp_path: Path) -> None:
    outcomes = check_mutants(exported(tmp_path), 300, seed=0)
    assert sum(outcomes.values()) > 290
    assert outcomes["refused"] > 50


@pytest.mark.long
def test_thousands_of_damaged_files_are_refused_and_take_nothing_down(tmp_path: Path) -> None:
    assert sum(check_mutants(exported(tmp_path), 3000, seed=1).values()) > 2900


def test_a_good_file_passes_and_the_child_serves_many(tmp_path: Path) -> None:
    data = exported(tmp_path)
    with Trial() as trial:
        trial.run(data, "one")
        child = trial._child
        trial.run(data, "two")
        assert trial._child is child


def test_a_child_that_dies_is_reported_and_replaced(tmp_path: Path) -> None:
    data = exported(tmp_path)
    with Trial() as trial:
        trial.run(data, "one")
        assert trial._child is not None
        os.kill(trial._child.pid, signal.SIGKILL)
        with pytest.raises(CnnspecError, match=r"two is refused: it crashed the process"):
            trial.run(data, "two")
        trial.run(data, "three")


def test_a_file_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    with Trial(seconds=0.001) as trial, pytest.raises(CnnspecError, match="still not done"):
        trial.run(exported(tmp_path), "slow")


def model(*nodes: onnx.NodeProto, **parts: object) -> bytes:
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph(list(nodes), "g", [given], [gives], **parts)  # type: ignore[arg-type]
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return built.SerializeToString()


def external(attribute: bool = False) -> bytes:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    if attribute:
        return model(helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("Add", ["x", "w"], ["y"]))
    return model(helper.make_node("Add", ["x", "w"], ["y"]), initializer=[tensor])


def sparse(*, kept_elsewhere: bool = False, many: bool = False) -> bytes:
    """A constant whose values may be bytes of a file in the folder that the session is made in."""
    values = numpy_helper.from_array(np.ones(4, np.float32), "values")
    if kept_elsewhere:
        Path("secret").write_bytes(bytes(16))
        values.ClearField("raw_data")
        values.data_location = TensorProto.EXTERNAL
        values.external_data.add(key="location", value="secret")
    tensor = helper.make_sparse_tensor(values, numpy_helper.from_array(np.arange(4), "places"), [4])
    given = {"stranger": [tensor]} if many else {"sparse_value": tensor}
    return model(helper.make_node("Constant", [], ["w"], **given), helper.make_node("Add", ["x", "w"], ["y"]))


def training() -> bytes:
    whole = onnx.load_model_from_string(model(helper.make_node("Relu", ["x"], ["y"])))
    whole.training_info.add().algorithm.name = "a"
    return whole.SerializeToString()


def huge() -> bytes:
    size = numpy_helper.from_array(np.array([2**40], np.int64), "n")
    return model(helper.make_node("ConstantOfShape", ["n"], ["y"]), initializer=[size])


def loop() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    return model(helper.make_node("Loop", ["", ""], [], body=body), helper.make_node("Relu", ["x"], ["y"]))


def of_any_size(*nodes: onnx.NodeProto, properties: dict[str, str] | None = None) -> bytes:
    """A model of images of any size, whose nodes read `x` and `size`, its shape with both sides times 300."""
    factors = numpy_helper.from_array(np.array([1, 1, 300, 300]), "factors")
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1, "height", "width"])
    gives = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b", "c", "d"])
    first = [helper.make_node("Shape", ["x"], ["own"]), helper.make_node("Mul", ["own", "factors"], ["size"])]
    graph = helper.make_graph([*first, *nodes], "g", [given], [gives], initializer=[factors])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(built, properties or {})
    return built.SerializeToString()


FACTS = {"cnnspec.name": "n", "cnnspec.input_shape": "[1, 28, 28]", "cnnspec.dynamic_size": "true"}
BOMB = helper.make_node("Tile", ["x", "size"], ["y"])  # 55 billion numbers at 28x28


@pytest.mark.parametrize(("properties", "shape"), [(FACTS, ()), ({}, (1, 28, 28))], ids=["told", "given"])
def test_a_file_of_any_size_is_run_at_the_size_that_is_meant(properties: dict[str, str], shape: Shape) -> None:
    with Trial() as trial, pytest.raises(CnnspecError, match=r"bytes|memory|allocat|crashed"):
        trial.run(of_any_size(BOMB, properties=properties), "it", shape)


def test_a_file_of_any_size_that_takes_too_long_is_given_up() -> None:
    nodes = [helper.make_node("Tile", ["x", "factors"], ["big"]), helper.make_node("MatMul", ["big", "big"], ["y0"])]
    nodes += [helper.make_node("MatMul", ["big", f"y{step}"], [f"y{step + 1}"]) for step in range(500)]
    model = of_any_size(*nodes, helper.make_node("Relu", ["y500"], ["y"]), properties=FACTS)
    with Trial(seconds=4) as trial, pytest.raises(CnnspecError, match="still not done"):
        trial.run(model, "it")


def test_a_child_whose_caller_is_gone_ends_by_itself() -> None:
    """The bounds that the child puts on itself, read from within."""
    code = (
        "import resource as r; from cnnspec.runtime.trial import _limit; _limit(0);"
        "print(*(r.getrlimit(k)[0] for k in (r.RLIMIT_CPU, r.RLIMIT_AS, r.RLIMIT_FSIZE, r.RLIMIT_CORE)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, memory, *others = map(int, done.stdout.split())
    assert (0 < seconds < 600, 0 < memory < 2**40, others) == (True, True, [0, 0])


def test_a_file_is_tried_under_a_hard_limit_that_is_lower_than_the_trial_s(tmp_path: Path) -> None:
    path = tmp_path / "l.onnx"
    path.write_bytes(exported(tmp_path))
    code = (
        "import resource as r, sys; from pathlib import Path; from cnnspec.runtime.trial import Trial\n"
        "r.setrlimit(r.RLIMIT_AS, (4 * 2**30, 4 * 2**30)); r.setrlimit(r.RLIMIT_CPU, (100, 100))\n"
        "with Trial() as trial: trial.run(Path(sys.argv[1]).read_bytes(), 'it')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_input_that_is_too_large_to_be_tried_is_refused() -> None:
    with Trial() as trial, pytest.raises(CnnspecError, match="at most 268,435,456 are tried"):
        trial.run(of_any_size(BOMB, properties=FACTS), "it", (1, 2**20, 2**20))


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (external(), "external data"),
        (external(attribute=True), "external data"),
        (model(helper.make_node("EPContext", ["x"], ["y"], domain="com.microsoft", embed_mode=0)), "other files"),
        (sparse(), "sparse"),
        (sparse(many=True), "sparse"),
        (training(), "training of its own"),
        (loop(), "control-flow"),
        (model(helper.make_node("Evil", ["x"], ["y"], domain="com.stranger")), "com.stranger"),
        (model(helper.make_node("Relu", ["z"], ["y"])), "no valid ONNX"),
        (huge(), "memory|cannot run|cannot load"),
        (b"", "no valid ONNX|no ONNX"),
        (b"\xff" * 100, "no ONNX file"),
    ],
    ids=[
        "external",
        "external-attribute",
        "context",
        "sparse",
        "sparses",
        "training",
        "loop",
        "domain",
        "dangling",
        "huge",
        "empty",
        "noise",
    ],
)
def test_what_a_stranger_may_not_do(data: bytes, says: str) -> None:
    with Trial() as trial, pytest.raises(CnnspecError, match=says):
        trial.run(data, "it")


def test_no_file_beside_the_model_is_read_through_a_sparse_constant() -> None:
    with Trial() as trial, pytest.raises(CnnspecError, match=r"sparse|external data"):
        trial.run(sparse(kept_elsewhere=True), "it")


def test_every_tensor_of_a_model_is_looked_at() -> None:
    """Wherever ONNX has room for a tensor: a new place in its description is looked at too."""
    places = list(_places(onnx.ModelProto.DESCRIPTOR, ()))
    assert len(places) > 20
    for path in places:
        whole = onnx.load_model_from_string(model(helper.make_node("Relu", ["x"], ["y"])))
        part: Any = whole
        for name in path:
            part = getattr(part, name)
            if hasattr(part, "add"):
                part = part.add()
        part.external_data.add(key="location", value="secret")
        with pytest.raises(CnnspecError, match=r"which (is|are) (refused|not taken)"):
            _check_structure(whole.SerializeToString())


def _places(message: Any, way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if message.name == "TensorProto":
        yield way
    for field in message.fields:
        if field.message_type is not None and field.name not in way:
            yield from _places(field.message_type, (*way, field.name))


def test_a_seal_finds_every_damaged_byte(tmp_path: Path) -> None:
    data = exported(tmp_path)
    check_seal(data, "it")
    for place in [*range(0, len(data), 997), *range(len(data) - 300, len(data))]:
        with pytest.raises(CnnspecError):
            check_seal(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :], "it")


def test_the_child_imports_nothing_from_the_folder_that_it_is_started_in(tmp_path: Path) -> None:
    data = exported(tmp_path)
    Path("json.py").write_text("open('imported', 'w').close()")
    subprocess.run([sys.executable, "-c", "import json"], check=True)
    assert Path("imported").exists()  # as it is where nothing keeps the folder out
    Path("imported").unlink()
    with Trial() as trial:
        trial.run(data, "it")
    assert not Path("imported").exists()


def test_without_onnx_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['onnx'] = None")  # as if it were not installed
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = exported(tmp_path)
    with Trial() as trial, pytest.raises(MissingExtraError, match="this needs `onnx`") as caught:
        trial.run(model, "l.onnx")
    assert caught.value.hint == "pip install 'cnnspec[onnx]'"
