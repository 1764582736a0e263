"""A file that is two models: onnx reads one graph in it, and onnxruntime, left to guess the format, runs the other."""

from __future__ import annotations

import struct
from pathlib import Path

import onnx
import onnxruntime
from onnx import TensorProto, helper

MARK = "ORTM"  # what the fifth to eighth byte of a file in ORT's own format are


def small(kind: str, producer: str) -> onnx.ModelProto:
    """`y = kind(x)` for x of 1x4."""
    given, gives = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in "xy")
    graph = helper.make_graph([helper.make_node(kind, ["x"], ["y"])], "g", [given], [gives])
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10, producer_name=producer)


def polyglot(shown: str, hidden: str) -> bytes:
    """`y = shown(x)` to onnx, and `y = hidden(x)` in ORT's format, which begins with the place of its root table.

    The first eight bytes, version and producer of an ONNX file, put that place 68 MB further on, into a weight.
    """
    model = small(shown, MARK)
    place = struct.unpack_from("<I", model.SerializeToString())[0]
    shift = place + 72  # of everything but the root table; a multiple of 16, as numbers of 8 bytes need
    other = _in_ort_format(small(hidden, "any"))
    root = struct.unpack_from("<I", other)[0]
    table = root - struct.unpack_from("<i", other, root)[0]
    (entries,) = struct.unpack_from("<H", other, table)
    _, size, *fields = struct.unpack_from(f"<{entries // 2}H", other, table)
    moved = bytearray(other[root : root + size])
    struct.pack_into("<i", moved, 0, place - (table + shift))
    for field in filter(None, fields):
        (way,) = struct.unpack_from("<I", moved, field)
        struct.pack_into("<I", moved, field, way + root + shift - place)
    content = bytes(moved).ljust(shift + 8 - place, b"\0") + other[8:]
    weight = model.graph.initializer.add(name="w", data_type=TensorProto.UINT8)

    def fill(zeros: int) -> bytes:
        weight.raw_data = bytes(zeros) + content
        weight.dims[:] = [len(weight.raw_data)]
        return model.SerializeToString()

    before = fill(place).find(content) - place  # bytes of ONNX in front of the weight
    return fill(place - before)


def _in_ort_format(model: onnx.ModelProto) -> bytes:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = "hidden.ort"
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return Path("hidden.ort").read_bytes()
