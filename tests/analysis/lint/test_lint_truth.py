"""What rules say about pixels and weights is what torch's gradients say."""

from __future__ import annotations

import re
from random import Random
from typing import Any

import torch
from torch import nn

import cnnspec
from cnnspec.analysis.lint import lint

LARGER = 40  # so many pixels more that border effects are far away


def layer(rng: Random) -> tuple[str, dict[str, Any]]:
    """A convolution or average pool in one dimension, as a call and as torch's arguments."""
    kernel, stride = rng.randint(1, 4), rng.randint(1, 5)
    if rng.random() < 0.5:
        arguments = {"kernel_size": kernel, "stride": stride, "padding": rng.randint(0, kernel // 2)}
        return "AvgPool1d", {**arguments, "ceil_mode": rng.random() < 0.5}
    return "Conv1d", {"kernel_size": kernel, "stride": stride, "padding": rng.randint(0, 2)}


def unread(name: str, arguments: dict[str, Any], size: int) -> set[int]:
    """The pixels that have no gradient."""
    module = nn.AvgPool1d(**arguments) if name == "AvgPool1d" else nn.Conv1d(1, 1, bias=False, **arguments)
    for weight in module.parameters():
        nn.init.ones_(weight)
    signal = torch.ones(1, 1, size, requires_grad=True)
    module(signal).sum().backward()
    assert signal.grad is not None
    return set((signal.grad[0, 0] == 0).nonzero()[:, 0].tolist())


def test_pixels_that_are_dropped_or_skipped_have_no_gradient() -> None:
    rng = Random(0)
    seen = {"W301": 0, "W309": 0, "": 0}
    for _ in range(400):
        name, arguments = layer(rng)
        size = rng.randint(arguments["kernel_size"] + 1, 16)
        call = ", ".join(f"{key}={value}" for key, value in arguments.items())
        channels = "1, " if name == "Conv1d" else ""
        text = f"cnnspec: 1\nname: a\ninput: [1, {size}]\nlayers:\n- {name}({channels}{call})\n"
        spec = cnnspec.loads(text)
        codes = {finding.code for finding in lint(spec.graph, spec.analyze())}
        never = {pixel for pixel in unread(name, arguments, size + LARGER) if pixel < size}
        dropped = unread(name, arguments, size) - never
        assert ("W301" in codes) == bool(dropped), text
        period = range(arguments["stride"] + arguments["kernel_size"])
        skipped = unread(name, arguments, size + LARGER).intersection(period)
        assert ("W309" in codes) == bool(skipped), text
        for code in seen:
            seen[code] += code in codes if code else not codes
    assert min(seen.values()) > 30, seen


def test_weights_that_read_only_padding_have_no_gradient() -> None:
    rng = Random(1)
    warned = 0
    for _ in range(300):
        kernel, dilation = [rng.randint(1, 5) for _ in range(2)], rng.randint(1, 2)
        padding = [dilation * (size - 1) // 2 for size in kernel]
        stride, size = rng.randint(1, 3), [rng.randint(1, 6) for _ in range(2)]
        arguments = {"kernel_size": tuple(kernel), "stride": stride, "padding": tuple(padding), "dilation": dilation}
        module = nn.Conv2d(1, 1, bias=False, **arguments)  # type: ignore[arg-type]
        image = torch.ones(1, 1, *size)
        if any(extent + 2 * pad < dilation * (k - 1) + 1 for extent, pad, k in zip(size, padding, kernel, strict=True)):
            continue
        module(image).sum().backward()
        assert module.weight.grad is not None
        idle = int((module.weight.grad == 0).sum())
        call = ", ".join(f"{key}={value}" for key, value in arguments.items())
        spec = cnnspec.loads(f"cnnspec: 1\nname: a\ninput: [1, {size[0]}, {size[1]}]\nlayers:\n- Conv2d(1, {call})\n")
        found = [finding for finding in lint(spec.graph, spec.analyze()) if finding.code == "W319"]
        assert len(found) == bool(idle)
        if found:
            warned += 1
            assert re.match(rf"`0`: {idle} of the {kernel[0] * kernel[1]} taps ", found[0].message)
    assert warned > 40
