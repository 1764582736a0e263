"""The module has the graph's names, shapes and order, and computes what torch's own layers compute."""

from __future__ import annotations

import copy
import json
import keyword
import pickle

import pytest
import torch
from torch import fx, nn

import cnnspec
from cnnspec.torch_backend import build_module

HEADS = """
cnnspec: 1
name: 3heads
input: [3, 8, 8]
outputs: [fc]
aux_outputs: [aux]
layers:
  mix:
    concat:
      left: Conv2d(4, 1)
      right:
        - Conv2d(5, 1)
        - ReLU(inplace=True)
  aux: AdaptiveMaxPool2d((1, None))
  flatten: Flatten()(mix)
  fc: Linear(7)
"""


@pytest.mark.parametrize("name", ["lenet5", "simple_cnn", "mlp", "convnet_keras"])
def test_the_names_are_those_of_the_graph_in_its_order(name: str) -> None:
    graph = cnnspec.load(name).graph
    module = build_module(graph)
    assert {key: tuple(value.shape) for key, value in module.state_dict().items()} == graph.state_shapes()
    assert list(module.state_dict()) == list(graph.state_shapes())
    assert module(torch.zeros(2, *graph.input_shape)).shape == (2, *graph.output_shape)
    assert isinstance(module, fx.GraphModule)


def test_it_computes_what_the_same_layers_written_in_torch_compute() -> None:
    written = nn.Sequential(
        nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(),
        nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    module = cnnspec.build("mlp")
    module.load_state_dict(written.state_dict(), strict=True)
    image = torch.randn(3, 1, 28, 28)
    assert torch.equal(module(image), written(image))


def test_initialisation_is_torchs_own() -> None:
    torch.manual_seed(5)
    module = cnnspec.build("simple_cnn")
    torch.manual_seed(5)
    written = nn.ModuleDict({"conv1": nn.Conv2d(1, 10, 5), "conv2": nn.Conv2d(10, 20, 5), "fc": nn.Linear(320, 10)})
    assert all(torch.equal(value, written.state_dict()[key]) for key, value in module.state_dict().items())


def test_heads_for_training_run_in_training_only() -> None:
    graph = cnnspec.loads(HEADS).graph
    module = build_module(graph)
    image = torch.randn(2, 3, 8, 8)
    trained = module(image)
    assert list(trained) == ["fc", "aux"]
    assert trained["aux"].shape == (2, 9, 1, 8)
    assert "aux" not in module.eval().code
    assert torch.equal(module(image), trained["fc"])
    assert list(module.state_dict()) == list(graph.state_shapes())
    assert list(module.train()(image)) == ["fc", "aux"]


def test_copies_change_their_mode_on_their_own() -> None:
    module = build_module(cnnspec.loads(HEADS).graph)
    image = torch.randn(2, 3, 8, 8)
    copied = copy.deepcopy(module).eval()
    assert isinstance(copied(image), torch.Tensor)
    assert isinstance(module(image), dict)
    assert torch.equal(copied(image), module.eval()(image))
    assert torch.equal(pickle.loads(pickle.dumps(module))(image), module(image))


def test_a_node_without_readers_does_not_run_but_keeps_its_weights() -> None:
    text = "cnnspec: 1\nname: a\ninput: [1, 4, 4]\nlayers:\n  a: Conv2d(2, 1)\n  b: Conv2d(3, 1)(a)\n  c: ReLU()(a)\n"
    module = cnnspec.loads(text).build()
    assert "self.b" not in module.code  # type: ignore[operator]
    assert "b.weight" in module.state_dict()


def test_inplace_is_honoured() -> None:
    module = build_module(cnnspec.loads(HEADS).graph)
    relu = module.get_submodule("mix.right.1")
    assert isinstance(relu, nn.ReLU)
    assert relu.inplace


def test_the_meta_device_holds_no_memory() -> None:
    module = build_module(cnnspec.load("lenet5").graph, device="meta")
    assert all(tensor.is_meta for tensor in module.state_dict().values())


def test_words_of_python_name_layers_wherever_they_stand() -> None:
    words: dict[str, object] = dict.fromkeys(set(keyword.kwlist) - {"True", "False", "None"}, "Tanh")
    words |= {"if": "Conv2d(3, 1)", "1": {"layers": {"class": "Conv2d(3, 1)", "0-1": {"layers": {"is": "Scale"}}}}}
    words["in"] = {"layers": {"else": "Bias", "a": "BatchNorm2d", "or": {"concat": {"not": "Tanh", "__x": "ReLU"}}}}
    words["iffy"] = "Conv2d(3, 1)"
    graph = cnnspec.loads(
        json.dumps({"cnnspec": 1, "name": "for", "input": [3, 4, 4], "layers": words}), path="words.json"
    ).graph
    module = build_module(graph).eval()
    image = torch.randn(2, 3, 4, 4)
    assert list(module.state_dict()) == list(graph.state_shapes())
    assert 'getattr(getattr(self, "1"), "class")' in module.code
    expected = module(image)
    assert torch.equal(copy.deepcopy(module)(image), expected)
    again = pickle.loads(pickle.dumps(module))
    assert torch.equal(again(image), expected)
    assert torch.equal(pickle.loads(pickle.dumps(again))(image), expected)


def test_outputs_below_words_of_python_keep_their_names() -> None:
    layers = {"self": {"layers": {"if": "Conv2d(4, 1)"}}, "class": {"layers": {"is": "Tanh"}}}
    spec = {"cnnspec": 1, "name": "a", "input": [3, 4, 4], "outputs": ["self.if", "class.is"], "layers": layers}
    module = cnnspec.loads(json.dumps(spec), path="a.json").build()
    given = module(torch.zeros(2, 3, 4, 4))
    assert list(given) == ["self.if", "class.is"]
    assert torch.equal(given["class.is"], given["self.if"].tanh())


def test_heads_may_be_named_by_words_of_python() -> None:
    module = build_module(cnnspec.loads(HEADS.replace("aux", "in").replace("in_outputs", "aux_outputs")).graph)
    image = torch.randn(2, 3, 8, 8)
    assert list(module(image)) == ["fc", "in"]
    assert torch.equal(copy.deepcopy(module).eval()(image), module.eval()(image))
