"""Random specs in every style of YAML, with remarks in every place that may hold one."""

from __future__ import annotations

import json
import random
from typing import Any

__all__ = ["remarked_spec"]

# What keeps 4 channels of 16x16, as a line or as a mapping.
LINES = (
    "ReLU", "Tanh()", "ELU(inplace=True,alpha=.5)", "Conv2d(4,3,padding='same')", "Conv2d( c, (1,3),padding=(0,1) )",
    "Conv2d(kernel_size=0x1,out_channels=4)", "Dropout(1e-1)", "Same * n", "Same(k=[3, 3])", "Same((3, 3)) * (n-1)",
    "ReLU if k == (1, 2)", "Tanh if n >1 and not  wide", "act", "MaxPool2d((3,3),stride=1,padding=[1, 1])",
    "Conv2d(4, 3, padding=-1 + 2) if wide", "Identity()(input)", "LeakyReLU(1_0 / 1E2)",
)  # fmt: skip
MAPPINGS: tuple[dict[str, Any], ...] = (
    {"type": "ReLU"}, {"type": "Conv2d", "out_channels": "c", "kernel_size": 3, "padding": "same"},
    {"kernel_size": [3, "1"], "type": "Conv2d", "padding": [1, 0], "out_channels": 4, "when": "n > 0"},
    {"type": "Same", "k": "(3, 3)", "repeat": "n"}, {"type": "Same", "k": [1, [2, "c"]]},
    {"type": "LeakyReLU", "negative_slope": "1_0 / 100"}, {"type": "Tanh", "in": "input"}, {"type": "act", "repeat": 2},
)  # fmt: skip


class _Writer:
    """Writes values as YAML, each time in another style. `remarks` are the first words of all remarks."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.remarks: list[str] = []
        self.in_text = False  # below a text that only a line with less indentation ends

    def chance(self, percent: int) -> bool:
        return self.rng.random() * 100 < percent

    def remark(self) -> str:
        self.remarks.append(f"#r{len(self.remarks)}")
        return self.remarks[-1] + self.rng.choice(["", "", " why", ": [ no", " - 'x", "\tö}  ", " # more"])

    def behind(self) -> str:
        """Perhaps a remark to the end of a line."""
        return " " * self.rng.randint(1, 3) + self.remark() if self.chance(25) else ""

    def between(self, lines: list[str]) -> None:
        """Perhaps lines of remarks, wherever they start, and blank lines."""
        while self.chance(25):
            if self.chance(70):
                lines.append(" " * (0 if self.in_text else self.rng.randint(0, 9)) + self.remark())
                self.in_text = False
            else:
                lines.append(" " * (0 if self.in_text else self.rng.randint(0, 3)))

    def scalar(self, value: Any, *, inside: bool) -> str:
        if not isinstance(value, str):
            return json.dumps(value)
        styles = [json.dumps(value), "'" + value.replace("'", "''") + "'"]
        simple = value[0] not in "'\"[{-#" and not any(sign in value for sign in (": ", " #"))
        if simple and not (inside and any(sign in ",[]{}" for sign in value)) and value != "1":
            styles += [value] * 3
        return self.rng.choice(styles)

    def flow(self, value: Any, pad: str) -> str:
        """A value in brackets, perhaps over several lines."""
        if not isinstance(value, (list, dict)):
            return self.scalar(value, inside=True)
        space = lambda: self.break_line(pad) if self.chance(20) else self.rng.choice(["", " "])  # noqa: E731
        keyed = isinstance(value, dict)
        items = []
        for item in value.items() if isinstance(value, dict) else value:
            text = f"{item[0]}: {self.flow(item[1], pad)}" if keyed else self.flow(item, pad)
            items.append(space() + text + space())
        comma = "," if items and self.chance(20) else ""
        opening, closing = "{}" if keyed else "[]"
        return opening + ", ".join(items) + comma + space() + closing

    def break_line(self, pad: str) -> str:
        lines = [self.behind()]
        self.between(lines)
        return "\n".join([*lines, pad + " "])

    def child(self, value: Any, indent: int, lines: list[str], head: str) -> None:
        """A value behind `head`, which is a dash or a key with its colon."""
        pad = " " * indent
        self.in_text = False
        if isinstance(value, str) and "(" in value and self.chance(20):
            lines.append(f"{head} {self.rng.choice(['>', '|', '>-', '|-', '|+'])}{self.behind()}")
            lines.append(f"{pad}   {value}")
            self.in_text = True
        elif not isinstance(value, (list, dict)) or not value or self.chance(30):
            lines += (f"{head} {self.flow(value, pad)}{self.behind()}").split("\n")
        elif head.endswith("-") and self.chance(60):  # the first child stands behind the dash
            inner: list[str] = []
            deeper = self.rng.randint(1, 3)
            self.block(value, indent + 1 + deeper, inner, first=True)
            lines.append(head + " " * deeper + inner[0].lstrip(" "))
            lines += inner[1:]
        else:
            lines.append(head + self.behind())
            self.block(value, indent + self.rng.randint(1 if head.endswith("-") else 2, 4), lines)

    def block(self, value: Any, indent: int, lines: list[str], *, first: bool = False) -> None:
        pad = " " * indent
        for item in value.items() if isinstance(value, dict) else value:
            if not first:
                self.between(lines)
            first = False
            if not isinstance(value, dict):
                self.child(item, indent, lines, f"{pad}-")
            elif self.chance(5) and not (lines and lines[-1].endswith("-")):
                lines.append(f"{pad}? {item[0]}{self.behind()}")
                self.between(lines)
                self.child(item[1], indent, lines, f"{pad}:")
            else:
                self.child(item[1], indent, lines, f"{pad}{item[0]}:")

    def document(self, value: dict[str, Any]) -> str:
        lines = ["%YAML 1.2" + self.behind(), "---" + self.behind()] if self.chance(5) else []
        self.block(value, 0, lines)
        self.between(lines)
        if self.chance(5):
            lines.append("..." + self.behind())
            self.between(lines)
        return self.rng.choice(["\n", "\n", "\n", "\r\n"]).join(lines) + self.rng.choice(["", "\n", "\n\n"])


def _layer(rng: random.Random, depth: int) -> Any:
    kind = rng.random()
    if kind < 0.5:
        return rng.choice(LINES)
    if kind < 0.75:
        return rng.choice(MAPPINGS)
    if depth > 2:
        return "ReLU"
    if kind < 0.85:
        return [_layer(rng, depth + 1) for _ in range(rng.randint(1, 3))]
    if kind < 0.95:
        return {"layers": _body(rng, depth + 1), **rng.choice([{}, {"repeat": "n"}, {"when": "wide", "in": "input"}])}
    return {"inline": [_layer(rng, depth + 1)], "repeat": 2}


def _body(rng: random.Random, depth: int) -> Any:
    layers = [_layer(rng, depth) for _ in range(rng.randint(1, 5))]
    if rng.random() < 0.6:
        return layers
    named = {f"a{index}": {"layers": layer["inline"]} if isinstance(layer, dict) and "inline" in layer else layer
             for index, layer in enumerate(layers)}  # fmt: skip
    return {**named, "sum": rng.choice(["Add(input,a0)", {"type": "Add", "in": ["a0", "input"]}, "Tanh()(a0)"])}


def remarked_spec(rng: random.Random) -> tuple[str, list[str]]:
    """A spec, and the first words of its remarks."""
    spec: dict[str, Any] = {
        "cnnspec": 1,
        "input": rng.choice([[4, 16, 16], {"shape": ["c", 16, "8*2"], "mean": [0.5], "std": [1e-1]}]),
        "params": {
            "c": 4,
            "n": rng.choice([1, 2, "1+1"]),
            "wide": False,
            "act": "ReLU",
            "k": rng.choice(["(1, 2)", [1, 2]]),
        },
        "variants": {"other": {"wide": True, "k": "(1,2)"}, "large": {"n": 3, "act": "Tanh"}},
        "blocks": {
            "Same": {"params": {"k": 1}, "let": {"m": "k == (3,3)"}, "layers": ["ReLU if m", "Tanh if not m", "ELU"]},
            "Unused": {"params": {"out": "int"}, "layers": _body(rng, 2)},
        },
        "layers": _body(rng, 0),
    }
    extra = {
        "description": rng.choice(["a # b", "it's", "two: parts"]),
        "train": {"lr": 1e-3, "x": ["#", None, {"y": True}]},
    }
    spec |= {key: value for key, value in extra.items() if rng.random() < 0.3}
    keys = list(spec)
    rng.shuffle(keys)
    writer = _Writer(rng)
    return writer.document({key: spec[key] for key in keys}), writer.remarks
