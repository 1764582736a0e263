"""Hypothesis strategies that write valid random specs.

1 to 3 spatial dimensions, joins, dilation, groups, `ceil_mode`, transposed convolutions, asymmetric padding,
repetition, conditions, nested bodies and blocks. A layer that does not fit what it reads is left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from cnnspec.errors import ShapeError
from cnnspec.ops import ArgumentError, Shape, make_op

__all__ = ["specs"]

LARGEST = 30_000  # values of one layer's output: the networks are small enough to be run
POINTWISE = ("ReLU", "Tanh", "Sigmoid", "SiLU", "GELU", "Identity", "Hardswish", "Dropout", "Affine")


@dataclass
class _Chain:
    """Named layers in turn, and the shapes that can be read."""

    draw: Any
    rank: int
    shapes: dict[str, Shape]
    layers: dict[str, Any] = field(default_factory=dict)
    last: str = "input"

    def call(self, name: str, target: str, arguments: dict[str, Any], read: str) -> Shape | None:
        """Add a layer if it fits; its shape, or None."""
        try:
            op = make_op(target, **{key: tuple(v) if isinstance(v, list) else v for key, v in arguments.items()})
            shape = op.out_shape(self.shapes[read])
        except (ArgumentError, ShapeError, KeyError):
            return None
        size = 1
        for axis in shape:
            size *= axis
        if size > LARGEST:
            return None
        entry = {"type": target, **arguments}
        if read != self.last or self.draw(st.booleans()):
            entry["in"] = read
        self.add(name, entry, shape)
        return shape

    def add(self, name: str, entry: Any, shape: Shape) -> None:
        self.layers[name] = entry
        self.shapes[name] = shape
        self.last = name


def _axes(draw: Any, rank: int, values: st.SearchStrategy[int]) -> Any:
    """One number for all axes, or one for each."""
    return draw(values) if draw(st.booleans()) else [draw(values) for _ in range(rank)]


def _window(draw: Any, rank: int) -> tuple[str, dict[str, Any]]:
    kind = draw(st.sampled_from(["Conv", "Conv", "Conv", "ConvTranspose", "MaxPool", "AvgPool"]))
    arguments: dict[str, Any] = {
        "kernel_size": _axes(draw, rank, st.integers(1, 4)),
        "stride": _axes(draw, rank, st.integers(1, 3)),
        "padding": _axes(draw, rank, st.integers(0, 2)),
    }
    if kind.startswith("Conv"):
        arguments["out_channels"] = draw(st.sampled_from([1, 2, 3, 4, 6]))
        arguments["groups"] = draw(st.sampled_from([1, 1, 1, 2, 3]))
        arguments["bias"] = draw(st.booleans())
    if kind in ("Conv", "MaxPool"):
        arguments["dilation"] = _axes(draw, rank, st.integers(1, 3))
    if kind.endswith("Pool"):
        arguments["ceil_mode"] = draw(st.booleans())
    if kind == "Conv" and draw(st.integers(0, 3)) == 0:
        arguments |= {"padding": draw(st.sampled_from(["same", "valid"])), "stride": 1}
    if kind == "ConvTranspose":
        arguments["output_padding"] = draw(st.integers(0, 1))
    return f"{kind}{rank}d", arguments


def _plain_layer(chain: _Chain, name: str, read: str) -> None:
    draw, rank = chain.draw, chain.rank
    match draw(st.integers(0, 7)):
        case 0:
            kind = draw(st.sampled_from(POINTWISE))
            chain.call(name, kind, {"scale": 0.5, "shift": -1} if kind == "Affine" else {}, read)
        case 1:
            chain.call(name, f"BatchNorm{rank}d", {"affine": draw(st.booleans())}, read)
        case 2:
            padding = [draw(st.integers(0, 3)) for _ in range(2 * rank)]
            kind = draw(st.sampled_from(["Zero", "Reflection", "Replication", "Circular"]))
            chain.call(name, f"{kind}Pad{rank}d", {"padding": padding}, read)
        case 3:
            chain.call(name, f"AdaptiveAvgPool{rank}d", {"output_size": _axes(draw, rank, st.integers(1, 4))}, read)
        case _:
            chain.call(name, *_window(draw, rank), read)


def _join(chain: _Chain, name: str) -> None:
    kind = chain.draw(st.sampled_from(["Add", "Mul", "Concat", "Sub", "Div"]))
    wanted = chain.shapes[chain.last]
    alike = [
        node
        for node, shape in chain.shapes.items()
        if (shape[1:] == wanted[1:] if kind == "Concat" else shape == wanted)
    ]
    count = 2 if kind in ("Sub", "Div") else chain.draw(st.integers(1, 3))
    reads = [chain.draw(st.sampled_from(alike)) for _ in range(count)]
    shapes = [chain.shapes[read] for read in reads]
    channels = sum(shape[0] for shape in shapes) if kind == "Concat" else wanted[0]
    chain.add(name, {"type": kind, "in": reads}, (channels, *wanted[1:]))


def _branches(chain: _Chain, name: str) -> None:
    """A body side by side, of branches that keep the shape."""
    draw, shape = chain.draw, chain.shapes[chain.last]
    kind = draw(st.sampled_from(["add", "mul", "concat"]))
    count = draw(st.integers(1, 3))
    keep = {"type": f"Conv{chain.rank}d", "out_channels": shape[0], "kernel_size": 3, "padding": 1}
    choices = st.sampled_from(["ReLU", "[]", "conv", "absent", "copies"])
    children: list[Any] = []
    branches = 0
    for _ in range(count):
        choice = draw(choices)
        copies = draw(st.integers(0, 2)) if choice == "copies" else 1
        branches += max(copies, 1)
        children.append(
            {
                "ReLU": "ReLU",
                "[]": ["Tanh", dict(keep)],
                "conv": dict(keep),
                "absent": "Tanh if False",
                "copies": f"Sigmoid * {copies}",
            }[choice]
        )
    channels = shape[0] * branches if kind == "concat" else shape[0]
    chain.add(name, {kind: children}, (channels, *shape[1:]))


def _repeated(chain: _Chain, name: str) -> None:
    """Copies of a layer that keeps the shape; perhaps none, perhaps not all."""
    draw, shape = chain.draw, chain.shapes[chain.last]
    entry: dict[str, Any] = {
        "type": f"Conv{chain.rank}d",
        "out_channels": "in_channels" if shape[0] == chain.shapes["input"][0] else shape[0],
        "kernel_size": 3,
        "padding": "1 + i - i",
        "repeat": draw(st.integers(0, 3)),
    }
    if draw(st.booleans()):
        entry["when"] = draw(st.sampled_from(["i % 2 == 0", "i > 0", "True", False]))
    chain.add(name, entry, shape)


def _called(chain: _Chain, name: str) -> None:
    """A residual block, with a projection where the channels change."""
    out = chain.draw(st.sampled_from([1, 2, 4]))
    shape = chain.shapes[chain.last]
    chain.add(name, f"Residual({out}, act={chain.draw(st.sampled_from(['ReLU', 'Tanh', 'None']))})", (out, *shape[1:]))


@st.composite
def specs(draw: Any, *, most: int = 7) -> dict[str, Any]:
    """A valid spec as plain data, with at most `most` layers at the top."""
    rank = draw(st.integers(1, 3))
    largest = {1: 24, 2: 12, 3: 7}[rank]
    shape = (draw(st.sampled_from([1, 2, 3, 4])), *(draw(st.integers(3, largest)) for _ in range(rank)))
    chain = _Chain(draw, rank, {"input": shape})
    for index in range(draw(st.integers(1, most))):
        name = f"n{index}"
        match draw(st.integers(0, 9)):
            case 0 | 1:
                _join(chain, name)
            case 2:
                _branches(chain, name)
            case 3:
                _repeated(chain, name)
            case 4:
                _called(chain, name)
            case _:
                readable = [chain.last, chain.last, *chain.shapes]
                _plain_layer(chain, name, draw(st.sampled_from(readable)))
    chain.add("last", "Identity", chain.shapes[chain.last])
    spec: dict[str, Any] = {"cnnspec": 1, "name": "random", "input": list(shape)}
    if any(isinstance(entry, str) and entry.startswith("Residual") for entry in chain.layers.values()):
        spec["blocks"] = {
            "Residual": {
                "params": {"out": "int", "act": "layer"},
                "layers": {
                    "conv": f"Conv{rank}d(out, 3, padding=1)",
                    "act": "act",
                    "project": f"Conv{rank}d(out, 1)(input) if in_channels != out",
                    "add": "Add(act, project)",
                },
            }
        }
    spec["layers"] = chain.layers
    return spec
