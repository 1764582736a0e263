"""The bundled networks export and verify: small ones always, all of them in the long tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import cnnspec
from cnnspec import zoo
from cnnspec.errors import UsageError
from cnnspec.exporting.in_torch import scaled_statistics, torch_run
from cnnspec.exporting.reference import onnx_run
from cnnspec.graph import Graph
from cnnspec.onnx_backend import lower as lowering
from cnnspec.onnx_backend import verify
from cnnspec.onnx_backend.initial import initial_weights, varied_weights
from cnnspec.onnx_backend.lower import lower, select_outputs
from cnnspec.onnx_backend.options import DEFAULT_OPSET, MAX_OPSET, MIN_OPSET, Lowering
from cnnspec.onnx_backend.writer import Writer

# One network per kind of layer that the others lack, at sizes that keep them quick.
QUICK = {
    "m5": (1, 4000),
    "resnet20": (3, 32, 32),
    "mobilenet_v3_small": (3, 64, 64),
    "shufflenet_v2_x0_5": (3, 64, 64),
    "efficientnet_b0": (3, 64, 64),
    "googlenet": (3, 64, 64),
}
TEN = {
    **QUICK,
    "squeezenet1_1": (3, 64, 64),
    "densenet121": (3, 64, 64),
    "convnext_tiny": (3, 64, 64),
    "regnet_x_400mf": (3, 64, 64),
}
TOO_LARGE = "regnet_y_128gf"  # 2.6 GB of weights, and a protobuf message has at most 2 GiB
OPSETS = range(MIN_OPSET, MAX_OPSET + 1)


@pytest.mark.parametrize("name", QUICK)
def test_a_small_form_of_every_kind_of_network_is_proved(name: str) -> None:
    result = cnnspec.export(cnnspec.load(name, input_shape=TEN[name]), batch=2)
    assert {check.name for check in result.checks} >= {"shapes", "numbers", "other weights and statistics"}
    assert result.verified


def telling_weights(graph: Graph) -> dict[str, NDArray[Any]]:
    images = verify.prepared(graph, verify.random_batch(graph, 2, 1))
    return scaled_statistics(graph, varied_weights(graph, initial_weights(graph)), images)


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v3_small", "efficientnet_b0"])
def test_a_small_mistake_in_any_layer_is_seen_in_the_numbers(name: str) -> None:
    graph = select_outputs(cnnspec.load(name, input_shape=TEN[name]).graph)
    weights = telling_weights(graph)
    reference = torch_run(graph, weights)
    for changed in [key for key, value in weights.items() if value.ndim == 1][:: max(1, len(weights) // 12)]:
        wrong = {**weights, changed: weights[changed] * np.float32(1.01) + np.float32(1e-3)}
        model = lower(graph, wrong).SerializeToString()
        comparison = verify.Comparison(onnx_run(model, name), reference, graph)
        assert not verify.check_numbers(comparison, batches=(2,)).passed, changed


def check_opset(name: str, opset: int) -> None:
    graph = select_outputs(cnnspec.load(name, input_shape=TEN[name]).graph)
    weights = telling_weights(graph)
    model = lower(graph, weights, Lowering(opset=opset))
    assert verify.opset_of(model) == opset
    comparison = verify.Comparison(onnx_run(model.SerializeToString(), name), torch_run(graph, weights), graph)
    checks = [
        verify.check_structure(model),
        verify.check_shapes(model, graph, None),
        verify.check_numbers(comparison, batches=(2,)),
    ]
    assert [check.detail for check in checks if not check.passed] == []


@pytest.mark.parametrize("opset", [MIN_OPSET, 14, 17, 20, MAX_OPSET])  # where a layer's form changes
def test_other_opsets_compute_the_same(opset: int) -> None:
    check_opset("mobilenet_v3_small", opset)


@pytest.mark.long
@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", TEN)
def test_every_opset_computes_the_same_for_ten_networks(name: str, opset: int) -> None:
    check_opset(name, opset)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in zoo.names() if name != TOO_LARGE])
def test_every_bundled_network_is_proved_as_it_is(name: str) -> None:
    result = cnnspec.export(name)
    assert result.verified
    assert {check.name for check in result.checks} >= {"shapes", "numbers", "other weights and statistics"}


def check_structure(name: str, opset: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph without its weights: large ones are declared, and none is made."""
    graph = select_outputs(cnnspec.load(name).graph)
    shapes = graph.state_shapes()
    write = Writer.constant

    def declare(self: Writer, name: str, values: Any, dtype: Any = None) -> str:
        array = np.asarray(values)
        if array.size <= verify.LARGE:
            return write(self, name, array, dtype)
        self.model.graph.initializer.add(name=name, data_type=onnx.TensorProto.FLOAT, dims=array.shape)
        return name

    monkeypatch.setattr(Writer, "constant", declare)
    monkeypatch.setattr(lowering, "check_size", lambda graph, half: None)
    weights = {key: np.broadcast_to(np.float32(0), shape) for key, shape in shapes.items()}
    model = lower(graph, weights, Lowering(opset=opset))
    checks = [verify.check_structure(model), verify.check_shapes(model, graph, None)]
    assert [check.detail for check in checks if not check.passed] == []


@pytest.mark.parametrize("name", zoo.bundled())
def test_every_layer_of_every_family_has_the_spec_s_shape(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_structure(name, DEFAULT_OPSET, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("opset", [MIN_OPSET, DEFAULT_OPSET, MAX_OPSET])
@pytest.mark.parametrize("name", zoo.names())
def test_every_layer_of_every_network_has_the_spec_s_shape(
    name: str, opset: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_structure(name, opset, monkeypatch)


def test_any_image_size_is_taken_where_the_network_ends_in_a_global_pool() -> None:
    result = cnnspec.export(cnnspec.load("mobilenet_v3_small", input_shape=(3, 64, 64)), dynamic_size=True, batch=2)
    assert "another size, 3x96x128" in {check.name for check in result.checks}


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in zoo.names() if name != TOO_LARGE])
def test_any_image_size_is_proved_or_refused_with_the_layer_that_is_bound_to_one(name: str) -> None:
    try:
        result = cnnspec.export(name, dynamic_size=True, batch=1)
    except UsageError as error:
        said = error.message
    else:
        said = " ".join(check.name for check in result.checks)
    assert "--size dynamic" in said or "another size" in said
