"""What holds for every valid spec: all its forms say the same, and torch agrees on the shapes."""

from __future__ import annotations

import json
from typing import Any

import torch
import yaml
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft7Validator
from strategies import specs

import cnnspec
from cnnspec.api import format_text, json_schema
from cnnspec.graph import Graph

VALIDATOR = Draft7Validator(json_schema())
calm = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def graph(spec: dict[str, Any]) -> Graph:
    return cnnspec.loads(json.dumps(spec), path="net.json").graph


@calm
@given(specs())
def test_all_forms_say_the_same(spec: dict[str, Any]) -> None:
    nodes = graph(spec).nodes
    assert not list(VALIDATOR.iter_errors(spec))
    dumped = yaml.safe_dump(spec, sort_keys=False, width=60)
    assert cnnspec.loads(dumped).graph.nodes == nodes
    for long in (False, True):
        as_json = format_text(json.dumps(spec), path="net.json", long=long)
        assert cnnspec.loads(as_json, path="net.json").graph.nodes == nodes
        as_yaml = format_text(dumped, long=long)
        assert cnnspec.loads(as_yaml).graph.nodes == nodes
        assert yaml.safe_load(as_yaml) == json.loads(as_json)
    assert not list(VALIDATOR.iter_errors(json.loads(as_json)))


@settings(calm, max_examples=40)
@given(specs())
def test_torch_agrees_on_every_shape(spec: dict[str, Any]) -> None:
    net = graph(spec)
    module = cnnspec.build(net).eval()
    with torch.no_grad():
        out = module(torch.zeros(2, *net.input_shape))
    assert tuple(out.shape) == (2, *net.output_shape)
    state = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    assert state == net.state_shapes()
