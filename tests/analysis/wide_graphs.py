"""Random specs that draw every operator and every way of writing a network; most of them are valid.

A layer that does not fit what it reads is drawn anew; one spec in four may keep such a layer, where it ends. Sizes are
small, so that every unit can be enumerated. `graph_features.features` says what a spec holds.
"""

from __future__ import annotations

import json
from random import Random
from typing import Any

from wide_builder import Args, Builder
from wide_layers import ELSEWHERE, SPATIAL

import cnnspec
from cnnspec.graph import INPUT

__all__ = ["load", "wide_spec"]


def load(text: str) -> cnnspec.Spec:
    """The spec, in its first variant where it has any. Raises SpecError."""
    variants = json.loads(text).get("variants", {})
    return cnnspec.loads(text, path="wide.json", variant=next(iter(variants), None))


def wide_spec(rng: Random, *, nodes: int = 8) -> str:
    """The JSON text of a random spec with about so many layers, of 1 to 3 spatial dimensions."""
    rank = rng.choices((1, 2, 3), (7, 10, 3))[0]
    low, high = {1: (8, 26), 2: (5, 12), 3: (4, 6)}[rank]
    shape = (rng.choice((1, 2, 3, 4)), *(rng.randint(low, high) for _ in range(rank)))
    builder = Builder(rng, rank, {INPUT: shape}, {INPUT: ("C", *range(rank))}, broken=rng.random() < 1 / 4)
    for _ in range(rng.randint(2, nodes)):
        if builder.stopped:
            break
        _step(builder)
    spec: dict[str, Any] = {"cnnspec": 1, "name": "wide", "input": list(shape)}
    if not builder.layers:
        builder.put("Identity", {}, INPUT)
    if builder.uses_block:
        spec["blocks"] = {"Residual": _residual(rank)}
    if builder.uses_width:
        spec |= {"params": {"width": 2}, "variants": {"wide": {"width": 4}}}
    spec["layers"] = builder.layers
    names = [name for name in builder.shapes if name != INPUT]
    if len(names) > 2 and not builder.stopped:
        picked = rng.sample(names, 3)
        if rng.random() < 0.3:
            spec["outputs"] = picked[:1] if rng.random() < 0.4 else sorted(picked[:2])
        if rng.random() < 0.25:
            spec.setdefault("outputs", [names[-1]])
            spec["aux_outputs"] = [name for name in picked if name not in spec["outputs"]][:1]
    return json.dumps(spec)


def _residual(rank: int) -> Args:
    conv = f"Conv{rank}d(in_channels, k, padding=k // 2, groups=in_channels if grouped else 1)"
    return {
        "params": {"k": "int", "grouped": False},
        "layers": {"conv": conv, "act": "ReLU(inplace=True)", "add": "Add(act, input)"},
    }


def _step(b: Builder) -> None:
    """One layer, or a few that belong together."""
    names = list(b.shapes)
    read = names[-1] if b.rng.random() < 0.75 else b.rng.choice(names)
    if not b.natural(read) and b.rng.random() < 0.4:
        read = b.rng.choice([name for name in names if b.natural(name)])
    for _ in range(8):
        kinds, weights = zip(*(SPATIAL if b.natural(read) else ELSEWHERE), strict=True)
        if b.rng.choices(kinds, weights)[0](b, read) or b.stopped:
            return
