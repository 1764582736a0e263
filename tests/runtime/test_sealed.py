"""Files that carry a right digest and say what is not so: one clear error, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from cnnspec.errors import CnnspecError
from cnnspec.onnx_backend.metadata import UNSEALED, seal
from cnnspec.runtime.predictor import Predictor

FLAT = helper.make_node("Flatten", ["x"], ["y"])
IMAGE = np.zeros((2, 2), np.uint8)


def sealed(
    *nodes: onnx.NodeProto,
    given: int | None = TensorProto.FLOAT,
    gives: int = TensorProto.FLOAT,
    sizes: list[Any] | None = None,
    constants: dict[str, Any] | None = None,
    **facts: Any,
) -> Path:
    """A file of images of 1x2x2, as a stranger who knows the rule of the digest would write it."""
    inputs = [] if given is None else [helper.make_tensor_value_info("x", given, ["batch", 1, 2, 2])]
    outputs = [helper.make_tensor_value_info("y", gives, sizes or ["batch", 4])]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, initializer=tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    plain = {"name": "n", "input_shape": [1, 2, 2], "outputs": ["y"], **facts}
    texts = {f"cnnspec.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in plain.items()}
    helper.set_model_props(model, {**texts, "cnnspec.sha256": UNSEALED})
    path = Path("sealed.onnx")
    path.write_bytes(b"".join(seal(model.SerializeToString())[0]))
    return path


def test_a_file_that_is_as_it_says_is_taken() -> None:
    (prediction,) = Predictor(sealed(FLAT, mean=[0.5], std=[0.5]), device="cpu")(Image.fromarray(IMAGE))
    assert prediction.probabilities.shape == (4,)


SOME = {"some": np.zeros((1, 4), np.float32)}
COPY = helper.make_node("Identity", ["some"], ["y"])


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ({"nodes": [FLAT], "mean": [0.1, 0.2], "std": [1.0, 1.0]}, "2 means and 2 standard deviations"),
        ({"nodes": [FLAT], "std": [1.0, 1.0]}, "0 means and 2 standard deviations"),
        ({"nodes": [COPY], "given": None, "constants": SOME, "sizes": [1, 4]}, "has no input"),
        ({"nodes": [FLAT], "given": TensorProto.STRING, "gives": TensorProto.STRING}, "no floats"),
        ({"nodes": [helper.make_node("Cast", ["x"], ["z"], to=9), helper.make_node("Flatten", ["z"], ["y"])],
          "gives": TensorProto.BOOL}, "no floats"),
        ({"nodes": [helper.make_node("Cast", ["x"], ["z"], to=8), helper.make_node("Flatten", ["z"], ["y"])],
          "gives": TensorProto.STRING}, "no floats"),
        ({"nodes": [COPY], "constants": {"some": np.zeros((1, 0), np.float32)}, "sizes": ["batch", 0]}, "no floats"),
        ({"nodes": [COPY], "constants": SOME}, "gives 1x4 for 2 images"),
        ({"nodes": [COPY], "constants": {"some": np.zeros((0, 4), np.float32)}}, "no floats"),
    ],
)  # fmt: skip
def test_what_is_not_so_is_one_clear_error(file: dict[str, Any], says: str) -> None:
    nodes, rest = file["nodes"], {key: value for key, value in file.items() if key != "nodes"}
    with pytest.raises(CnnspecError, match=says):
        Predictor(sealed(*nodes, **rest), device="cpu")([Image.fromarray(IMAGE)] * 2)
