"""Figures that the tests in `web/tests` are held to. `python tests/pages/figures.py` writes them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cnnspec
from cnnspec.drawing.layered import Spacing, arrange
from cnnspec.drawing.page import data_of
from cnnspec.errors import CnnspecError, ShapeError
from cnnspec.ops import make_op

TARGET = Path(__file__).parents[2] / "web" / "tests" / "figures.json"
NETWORKS = ("lenet5", "m5", "shufflenet_v2_x0_5")


def sampled(spec: cnnspec.Spec, data: dict[str, Any], count: int, seed: int) -> Iterator[tuple[list[Any], list[Any]]]:
    """Units of every layer, and what Python says of each as the page would: the middle one, a corner, then any."""
    draw = random.Random(seed)
    for number, layer in enumerate(data["layers"]):
        try:
            field = spec.field(layer["name"])
        except CnnspecError:
            continue
        sizes = [layer["shape"][carrier] for carrier in sorted(layer["carriers"]) if carrier < len(layer["shape"])]
        if len(sizes) != len(field.unit):
            continue
        for turn in range(count):
            if turn:
                unit = [draw.choice((0, size - 1)) if turn == 1 else draw.randrange(size) for size in sizes]
                field = spec.field(layer["name"], tuple(unit))
            unclipped = field.unclipped and [list(bounds) for bounds in field.unclipped]
            clipped = field.clipped and [list(bounds) for bounds in field.clipped]
            yield [number, list(field.unit)], [unclipped, clipped, list(field.pixels), field.global_context]


def layouts(count: int) -> Iterator[dict[str, Any]]:
    """Random groups of boxes, and where each box and the bends of each line are."""
    draw = random.Random(1)
    for _ in range(count):
        boxes = draw.randint(1, 14)
        sizes = [(float(draw.randint(0, 200)), float(draw.randint(0, 90))) for _ in range(boxes)]
        pairs = [(draw.randrange(target), target) for target in range(1, boxes) for _ in range(draw.randint(1, 3))]
        edges = list(dict.fromkeys(pairs))
        anchors = [(float(draw.randint(-20, 20)), float(draw.randint(-20, 20))) for _ in edges]
        last = [boxes - 1] if draw.random() < 0.3 else []
        laid = arrange(sizes, edges, Spacing(), anchors=anchors, last=last)
        points = [*laid.tops, *(point for route in laid.routes for point in route), (laid.width, laid.height)]
        yield {"given": [sizes, edges, Spacing()._asdict(), anchors, last], "points": points}


def sizes(count: int) -> Iterator[list[int]]:
    """Windows along one axis, and how many units they give; 0 where they do not fit."""
    draw = random.Random(2)
    for _ in range(count):
        size, kernel, stride = draw.randint(1, 40), draw.randint(1, 9), draw.randint(1, 4)
        padding, dilation = draw.randint(0, 4), draw.randint(1, 3)
        op = make_op("Conv1d", out_channels=1, kernel_size=kernel, stride=stride, padding=padding, dilation=dilation)
        try:
            (_, output) = op.out_shape((1, size))
        except ShapeError:
            output = 0
        yield [size, kernel, stride, padding, dilation, output]


def rounded(value: Any) -> Any:
    """Plain data with numbers of nine digits."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, (list, tuple)):
        return [rounded(each) for each in value]
    return {key: rounded(each) for key, each in value.items()} if isinstance(value, dict) else value


def figures() -> str:
    """The content of the file."""
    networks = []
    for name in NETWORKS:
        spec = cnnspec.load(name)
        data = data_of(spec)
        units = [[*asked, *found] for asked, found in sampled(spec, data, 3, seed=len(name))]
        for unused in ("pages", "source", "memory", "words", "findings", "description", "reference"):
            data.pop(unused)
        for layer in data["layers"]:
            del layer["told"]
        networks.append({"name": name, "data": data, "units": units})
    found = {"networks": networks, "layouts": list(layouts(30)), "sizes": list(sizes(100))}
    return json.dumps(rounded(found), separators=(",", ":"), ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(figures(), "utf-8")
