"""What is opened is the ONNX graph of a file."""

from __future__ import annotations

import numpy as np
import onnx
from polyglot import polyglot

from cnnspec.runtime.session import open_session
from cnnspec.runtime.trial import Trial


def test_a_file_that_is_also_a_model_in_ort_s_format_runs_as_the_graph_that_was_checked() -> None:
    data = polyglot("Abs", "Neg")
    onnx.checker.check_model(onnx.load_model_from_string(data))
    with Trial() as trial:
        trial.run(data, "it")
    inputs = np.array([[1, -2, 3, -4]], np.float32)
    (result,) = open_session(data, "it", device="cpu", threads=1).run(None, {"x": inputs})
    np.testing.assert_array_equal(result, np.abs(inputs))
