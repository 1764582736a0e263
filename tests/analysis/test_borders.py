"""The sizes that drop no border pixel are those at which the spec, elaborated anew, has no W301."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest
from random_graphs import random_spec

from cnnspec.analysis import analyze
from cnnspec.analysis.borders import dropped
from cnnspec.analysis.lint import lint
from cnnspec.analysis.sizes import Sizes, sizes
from cnnspec.errors import SpecError
from cnnspec.language import Source, read_spec
from cnnspec.ops.window import Sliding

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def read(spec: dict[str, Any]) -> Source:
    return read_spec("spec.json", json.dumps({"cnnspec": 1, "name": "random", **spec}).encode())


def drops(source: Source, shape: tuple[int, ...]) -> bool | None:
    """Whether inference has a W301 at this input shape; None where it does not run there."""
    try:
        graph = source.elaborate(input_shape=shape, purpose="inference")
    except SpecError:
        return None
    return bool(lint(graph, analyze(graph), select=["W301"]))


def clean(found: Sizes) -> list[list[int]]:
    """The sizes of each axis that drop no border pixel."""
    return [[n for run in axis.clean for n in range(run.first, run.last + 1, run.step)] for axis in found.axes]


def random_layers(rng: Random) -> dict[str, Any]:
    """A random graph in which sizes stop to follow the input, change their axis, become one, or matter to nobody."""
    spec = json.loads(random_spec(rng, nodes=5))
    rank = len(spec["input"]) - 1
    layers = spec["layers"]
    names = ["input", *layers]
    for index in range(rng.randint(1, 5)):
        recent = names[-1] if rng.random() < 0.8 else rng.choice(names)
        size = [rng.choice((1, 2, 3, 5)) for _ in range(rank)]
        layer: dict[str, Any] = rng.choice(
            (
                {"type": f"AdaptiveAvgPool{rank}d", "output_size": size},
                {"type": f"AdaptiveMaxPool{rank}d", "output_size": [rng.choice((None, n)) for n in size]},
                {"type": "Permute", "dims": [0, *rng.sample(range(1, rank + 2), rank + 1)]},
                {"type": "Flatten", "start_dim": rng.randint(1, rank + 1)},
                {"type": f"LPPool{rank}d", "norm_type": 2.0, "kernel_size": rng.choice((2, 3)), "ceil_mode": True},
                {"type": "Upsample", "size": [n + 3 for n in size], "mode": LINEAR[rank]},
                {"type": "Linear", "out_features": rng.choice((4, 7))},
            )
        )
        layers[f"extra{index}"] = {**layer, "in": recent}
        names.append(f"extra{index}")
        rank_left = rank if rng.random() < 0.8 else max(1, rank - 1)
        pool = {"type": f"MaxPool{rank_left}d", "kernel_size": 2, "stride": rng.choice((2, 3)), "in": names[-1]}
        layers[f"pool{index}"] = pool
        names.append(f"pool{index}")
    if rng.random() < 0.4:
        spec["outputs"] = [rng.choice(names[1:])]
    return {key: spec[key] for key in ("input", "layers", "outputs") if key in spec}


def has_dead_layers(spec: dict[str, Any]) -> bool:
    return spec.get("outputs", [""]) != [list(spec["layers"])[-1]] and "outputs" in spec


def check(seeds: range) -> dict[str, int]:
    """Compare every size of every axis, and count how often what matters here occurred."""
    seen = dict.fromkeys(("graphs", "sizes", "with W301", "permuted", "flattened", "fixed", "dead"), 0)
    for seed in seeds:
        spec = random_layers(Random(seed))
        source = read(spec)
        try:
            source.elaborate()
        except SpecError:
            continue
        shape = tuple(spec["input"])
        span = (1, max(shape[1:]) + 4)
        seen["graphs"] += 1
        kinds = {layer["type"].rstrip("123d") for layer in spec["layers"].values()}
        seen["permuted"] += "Permute" in kinds
        seen["flattened"] += "Flatten" in kinds
        seen["fixed"] += bool(kinds & {"AdaptiveAvgPool", "AdaptiveMaxPool", "Upsample"})
        seen["dead"] += "outputs" in spec and spec["outputs"] != [list(spec["layers"])[-1]]
        for axis, listed in enumerate(clean(sizes(source, span=span))):
            for size in range(span[0], span[1] + 1):
                varied = (*shape[: axis + 1], size, *shape[axis + 2 :])
                verdict = drops(source, varied)
                if verdict is None:
                    assert size not in listed, (spec, varied)
                    continue
                there = clean(sizes(source, input_shape=varied, span=span))
                others = (n in found for n, found in zip(varied[1:], there, strict=True))
                assert verdict != all((size in listed, *others)), (spec, varied)
                seen["sizes"] += 1
                seen["with W301"] += verdict
    return seen


def test_a_size_drops_no_border_where_elaborating_at_it_gives_no_w301() -> None:
    seen = check(range(800))
    assert min(seen.values()) >= 25, seen


@pytest.mark.long
def test_many_more_graphs() -> None:
    seen = check(range(800, 800 + 6000))
    assert min(seen.values()) >= 50, seen


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (["AdaptiveAvgPool2d(3)", "MaxPool2d(2)"], [[], []]),  # one of three at every size
        (["AdaptiveAvgPool2d([3, 4])", "MaxPool2d(2)"], [[], list(range(1, 17))]),
        (["Permute([0, 1, 3, 2])", "MaxPool2d([2, 1])"], [list(range(1, 17)), list(range(2, 17, 2))]),
        (["Flatten(2)", "MaxPool1d(2)"], [list(range(1, 17)), list(range(1, 17))]),  # eight rows: always even
        (["Permute([0, 2, 1, 3])", "Conv2d(5, 1)", "MaxPool2d([3, 1])"], [[], []]),
    ],
)
def test_the_axis_is_that_of_the_input(layers: list[str], expected: list[list[int]]) -> None:
    assert clean(sizes(read({"input": [4, 8, 8], "layers": layers}), span=(1, 16))) == expected


def test_a_layer_that_nothing_depends_on_drops_nothing() -> None:
    layers = {"a": "Conv1d(2, 3, padding=1)", "b": "MaxPool1d(2)(a)", "c": "Conv1d(2, 1)(a)"}
    found = sizes(read({"input": [1, 8], "layers": layers, "outputs": ["c"]}), span=(1, 9))
    assert clean(found) == [list(range(1, 10))]  # nor does it refuse a size


def test_dropped_is_what_one_more_window_would_read() -> None:
    rng = Random(4)
    lost = 0
    for _ in range(2000):
        window = Sliding(
            rng.randint(1, 4),
            rng.randint(1, 5),
            rng.randint(1, 3),
            rng.randint(0, 2),
            rng.randint(0, 2),
            rng.random() < 0.5,
        )
        size = rng.randint(1, 20)
        out = window.out_size(size)
        if out < 1 or window.before > window.extent // 2 or window.after > window.extent // 2:
            continue
        beyond = range(max(window.reads(out - 1)) + 1, size)
        later = {pixel for unit in range(out, out + 40) for pixel in window.reads(unit)}
        assert dropped(window, size) == len(later.intersection(beyond)), (window, size)
        lost += bool(dropped(window, size))
    assert lost > 60
