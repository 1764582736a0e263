"""Pointwise operators that take more than one ONNX node, or that changed between opsets."""

from __future__ import annotations

import numpy as np

from cnnspec.graph import Node
from cnnspec.onnx_backend.writer import Writer
from cnnspec.ops.activation import GELU, PReLU, Softplus
from cnnspec.ops.affine import Affine

__all__ = ["affine", "clip", "gelu", "hardswish", "prelu", "softplus"]


def affine(writer: Writer, op: Affine, node: Node) -> None:
    """`Mul` and `Add`, as far as they do something."""
    name, (x,) = node.name, writer.reads(node)
    if op.shift == 0:
        writer.add("Mul", [x, writer.constant(f"{name}/scale", op.scale)], name)
        return
    if op.scale != 1:
        x = writer.add("Mul", [x, writer.constant(f"{name}/scale", op.scale)], f"{name}/scaled")
    writer.add("Add", [x, writer.constant(f"{name}/shift", op.shift)], name)


def clip(writer: Writer, node: Node, least: float, most: float) -> None:
    bounds = [writer.constant(f"{node.name}/min", least), writer.constant(f"{node.name}/max", most)]
    writer.add("Clip", [*writer.reads(node), *bounds], node.name)


def prelu(writer: Writer, op: PReLU, node: Node) -> None:
    slope = writer.array(node, "weight").reshape(-1, *(1 for _ in node.shape[1:]))
    writer.add("PRelu", [*writer.reads(node), writer.constant(f"{node.name}.weight", slope)], node.name)


def hardswish(writer: Writer, node: Node) -> None:
    reads = writer.reads(node)
    if writer.opset >= 14:
        writer.add("HardSwish", reads, node.name)
        return
    gate = writer.add("HardSigmoid", reads, f"{node.name}/gate", alpha=1 / 6, beta=0.5)
    writer.add("Mul", [*reads, gate], node.name)


def softplus(writer: Writer, op: Softplus, node: Node) -> None:
    """`log(1 + exp(beta*x)) / beta`, and `x` itself where `beta*x` is above the threshold."""
    name, (x,) = node.name, writer.reads(node)
    exact = op.threshold >= 20  # float32 cannot tell the two apart there
    if op.beta == 1 and exact:
        writer.add("Softplus", [x], name)
        return
    beta = writer.constant(f"{name}/beta", op.beta)
    scaled = writer.add("Mul", [x, beta], f"{name}/scaled")
    soft = writer.add("Softplus", [scaled], f"{name}/softplus")
    soft = writer.add("Div", [soft, beta], name if exact else f"{name}/soft")
    if not exact:
        above = writer.add("Greater", [scaled, writer.constant(f"{name}/threshold", op.threshold)], f"{name}/above")
        writer.add("Where", [above, x, soft], name)


def gelu(writer: Writer, op: GELU, node: Node) -> None:
    """`Gelu` from opset 20 on; before, `x/2 * (1 + erf(x/√2))` or its tanh approximation, written out."""
    name, (x,) = node.name, writer.reads(node)
    if writer.opset >= 20:
        writer.add("Gelu", [x], name, approximate=op.approximate)
        return
    if op.approximate == "tanh":  # √(2/π) * (x + 0.044715 x³)
        cube = writer.add("Pow", [x, writer.constant(f"{name}/three", 3)], f"{name}/cube")
        cube = writer.add("Mul", [cube, writer.constant(f"{name}/factor", 0.044715)], f"{name}/cubic")
        inner = writer.add("Add", [x, cube], f"{name}/inner")
        inner = writer.add("Mul", [inner, writer.constant(f"{name}/root", (2 / np.pi) ** 0.5)], f"{name}/scaled")
        bell = writer.add("Tanh", [inner], f"{name}/tanh")
    else:
        inner = writer.add("Div", [x, writer.constant(f"{name}/root", 2**0.5)], f"{name}/scaled")
        bell = writer.add("Erf", [inner], f"{name}/erf")
    bell = writer.add("Add", [bell, writer.constant(f"{name}/one", 1)], f"{name}/shifted")
    both = writer.add("Mul", [x, bell], f"{name}/both")
    writer.add("Mul", [both, writer.constant(f"{name}/half", 0.5)], name)
