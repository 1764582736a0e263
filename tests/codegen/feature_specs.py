"""Small specs, one for each thing that the language can say, and words that their source has to have."""

from __future__ import annotations

from typing import Final

__all__ = ["FEATURES", "LAYER_BY_LAYER"]

HEAD: Final = "cnnspec: 1\nname: net\n"

FEATURES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "a condition on a stride": (
        """
input: [3, 8, 8]
blocks:
  Residual:
    params: {out: int, stride: 1}
    layers:
      conv: Conv2d(out, 3, stride=stride, padding=1)
      project: Conv2d(out, 1, stride=stride)(input) if stride != 1 or in_channels != out
      add: Add(conv, project)
layers: {one: Residual(3), two: "Residual(8, 2)", three: Residual(8)}
""",
        ("class Residual(nn.Module):", "nn.Identity()", "return conv + project"),
    ),
    "a join that may be absent": (
        """
input: [3, 8, 8]
blocks:
  Skip:
    params: {out: int}
    layers:
      conv: Conv2d(out, 3, padding=1)
      add: Add(input, conv) if in_channels == out
      relu: ReLU
layers: {a: Skip(3), b: Skip(4), c: Skip(4)}
""",
        ("self.has_add = in_channels == out", "if self.has_add else conv"),
    ),
    "copies that grow with i": (
        """
input: [3, 16, 16]
blocks: {Stage: {params: {n: int}, layers: ["Conv2d(in_channels * (i + 2), 3, padding=1) * n", ReLU]}}
layers: {one: Stage(2), two: Stage(1)}
""",
        ("for i in range(n):", "channels = in_channels"),
    ),
    "names with expressions": (
        """
input: [3, 16, 16]
blocks: {Dense: {params: {growth: int, n: int}, layers: {"layer{i+1}-x": Layer(growth) * n}},
         Layer: {params: {growth: int}, layers: {conv: "Conv2d(growth, 3, padding=1)", cat: "Concat(input, conv)"}}}
layers: {one: "Dense(4, 3)", two: "Dense(2, 2)"}
""",
        ('f"layer{i + 1}-x"', "channels += growth"),
    ),
    "numbered copies among children that are read by name": (
        """
input: [3, 16, 16]
blocks:
  Conv: {params: {out: int}, layers: ["Conv2d(out, 3, padding=1)", ReLU]}
  Pair:
    params: {out: int}
    layers:
      first: Conv(out)
      part{i}: Conv(in_channels * (i + 2)) * 2
      all: Concat(first, part1)
layers:
  stem: Conv(4)
  stage_{i + 1}: Conv(6) * 3
  other_{i}: {in: stem, repeat: 2, layers: [Conv(6)]}
  add: Add(stage_3, other_1)
  pair: Pair(2)
  tail: Concat(pair, stem)
""",
        (
            'self.add_module(f"stage_{i + 1}", Conv(channels, 6))',
            "stage_3 = stem",
            "for i in range(3):",
            'stage_3 = getattr(self, f"stage_{i + 1}")(stage_3)',
            'getattr(self, f"part{i}")',
        ),
    ),
    "a list of numbers that a loop takes": (
        """
input: [3, 8, 8]
blocks:
  Plan:
    layers:
      - repeat: 4
        inline:
          - Conv2d([4, 4, 8, 8][i], 3, padding=1)
          - BatchNorm2d
          - Conv2d([4, 4, 8, 8][i], 1)
          - MaxPool2d(2) if i == 1 or i == 2
layers:
  one: Plan
  two:
    - repeat: 2
      inline: ["Conv2d([3, 5][i], 1)", ReLU, "Conv2d([3, 5][i], 1)"]
  three:
    - repeat: 10
      inline:
        - "Dropout([0.012345678901, 0.02345678901, 0.032109876543, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08,
          0.0912345678901234567][i])"
        - "Conv2d(5, 3, padding=1)"
""",
        (
            "for rate in [\n            0.012345678901,\n",
            "append(nn.Dropout(rate))",
            "for i, out in enumerate([4, 4, 8, 8]):",
            "if i in (1, 2):",
            "for out in [3, 5]:",
        ),
    ),
    "channels that slices cut, and that a condition leaves as they are": (
        """
input: [3, 8, 8]
blocks:
  Dual:
    params: {end: int, out: int, stride: 1, wide: 12}
    layers:
      wide: Conv2d(wide, 1, stride=stride) if stride != 1
      left: Slice(0, end)
      right: Slice(end)(wide)
      new: Conv2d(out, 1, stride=stride)(input)
      new_left: Slice(0, end)
      new_right: Slice(end)(new)
      add: Add(left, new_left)
      cat: Concat(add, right, new_right)
  Rest: {layers: {pool: "AvgPool2d(3, stride=1, padding=1)", sub: "Sub(pool, input)"}}
  Mixed: {layers: {mix: Rest, scale: {layers: {scale: Scale}}, add: "Add(input, scale)", last: "Slice(0, 2, dim=2)"}}
layers:
  one{i}: Dual(4, 6, stride=2 if i == 0 else 1) * 2
  two{i}: Dual(8, 11) * 2
  three: [Mixed, "Conv2d(7, 1)", Mixed, "Slice(1, 5)", ReLU]
""",
        (
            "channels = (12 if i == 0 else channels) + 2",
            "channels += 3",
            "Slice(0, end)",
            "Slice(end, None)",
            "Slice(1, 5)",
            "[:, :, 0:2]",
        ),
    ),
    "names that are no attributes, in turn": (
        """
input: [3, 8, 8]
blocks: {Pair: {params: {out: int}, layers: {"a-0": "Conv2d(out, 3)", "a-1": ReLU}}}
layers: {one: Pair(4), two: Pair(2)}
""",
        ("class Pair(nn.Sequential):", 'self.add_module("a-0", '),
    ),
    "named copies, inline copies, copies in copies": (
        """
input: [2, 16, 16]
params: {plan: [2, 4]}
layers:
  stem: Conv2d(4, 3, padding=1) * 2
  body:
    - repeat: len(plan)
      inline:
        - repeat: i + 1
          inline: ["Conv2d(plan[0] * (i + 1), 1)", BatchNorm2d]
        - MaxPool2d(2) if i == 0
    - ReLU * 0
""",
        ("range(len(plan))", "body.append("),
    ),
    "a layer as a parameter": (
        """
input: [3, 8, 8]
params: {kinds: [ReLU, Tanh]}
blocks: {ConvAct: {params: {out: int, act: SiLU}, layers: ["Conv2d(out, 3, padding=1)", act]}}
layers:
  - ConvAct(4)
  - ConvAct(4, None)
  - ConvAct(5, kinds[i]) * 2
""",
        ("act=nn.SiLU", "if act is not None:", "kinds = [nn.ReLU, nn.Tanh]"),
    ),
    "blocks as a parameter": (
        """
input: [3, 8, 8]
params: {block: B}
blocks:
  A: {params: {out: int}, layers: ["Conv2d(out, 3, padding=1)"]}
  B: {params: {out: int}, layers: ["Conv2d(out, 1)", ReLU]}
  Pair: {params: {first: layer, second: layer}, layers: {a: first(4), b: second(6)}}
layers: {one: "Pair(A, block)", two: "Pair(B, A)", three: block(3) * 2}
""",
        ("block = B", "Pair(3, A, block)"),
    ),
    "several inputs": (
        """
input: [4, 16, 16]
blocks:
  Up:
    inputs: [below, skip]
    params: {out: int}
    layers:
      up: ConvTranspose2d(in_channels // 2, 2, stride=2)
      cat: Concat(skip, up)
      conv: Conv2d(out, 3, padding=1)
layers:
  wide: Conv2d(3, 3, padding=1)
  low: MaxPool2d(2)
  lower: Conv2d(8, 3, padding=1)
  down: MaxPool2d(2)
  up1: Up(10)(down, lower)
  up2: Up(2)(up1, wide)
""",
        ("in_channels, skip_channels, out", "def forward(self, below: Tensor, skip: Tensor)"),
    ),
    "names of Python, digits and dashes": (
        """
input: [3, 8, 8]
params: {class: 4, self: 3, nn: 2, torch: 1, list: 5}
let: {super: list + nn}
blocks:
  def:
    params: {range: int, lambda: 1, x: 3}
    layers: {"7": "Conv2d(range * x, 1)", list: ReLU, __hidden: "Conv2d(x, 1)"}
layers:
  "1": {type: def, range: nn}
  a-b: Conv2d(super, 3)
  in_: Tanh
  x: Sigmoid
  sum: Add(in_, x)
  print: {type: ReLU, in: a-b}
  self: Conv2d(self, 1)(sum)
  last: Add(self, self)
""",
        ('self.add_module("a-b"', "class def_(nn.Sequential):", 'self.add_module("__hidden"'),
    ),
    "side by side in every way": (
        """
input: [4, 8, 8]
layers:
  a: {concat: ["Conv2d(2, 1)", [ReLU, "Conv2d(3, 1)"], "Slice(1, 3)", "Tanh * 2"]}
  b: {add: {one: "Conv2d(15, 1)", two: ["Conv2d(15, 3, padding=1)", BatchNorm2d], none: Identity if False}}
  c: {mul: [Sigmoid, Identity, Tanh if False]}
  d:
    - add: ["Conv2d(5, 1)", {layers: {p: "Conv2d(5, 1)", q: "Mul(p, p)"}}]
    - mul: [Sigmoid]
""",
        ("Concatenated(",),
    ),
    "words and lists as arguments": (
        """
input: [3, 9, 8]
params: {k: 3}
layers:
  a: {type: Conv2d, out_channels: 6, kernel_size: [k, 1], padding: same, groups: 3, bias: False}
  b: Upsample(scale_factor=2, mode=bilinear)
  c: LPPool2d(2, kernel_size=(2, 3), stride=2)
  d: "AdaptiveMaxPool2d((None, 3))"
  e: PReLU(6)
  f: Hardtanh(max_val=2.0)
  g: LocalResponseNorm(3)
  h: GroupNorm(3)
  i: LayerNorm2d(eps=1e-6)
  j: Scale(0.5)
  k: Permute([0, 2, 3, 1])
  l: LayerNorm
  m: Linear(4)
  n: StochasticDepth(0.3)
  o: Softmax(dim=1)
  p: Flatten(1, end_dim=2)
""",
        ('padding="same"', "[k, 1]", "torch.permute(", "self.j = nn.Parameter("),
    ),
    "several outputs and heads of training": (
        """
input: [3, 8, 8]
outputs: [out, mid]
aux_outputs: [aux]
layers:
  stem: Conv2d(4, 3)
  mid: BatchNorm2d
  drop: Dropout
  head: ["Conv2d(3, 1)", Dropout]
  aux: Flatten
  idle: Dropout()(mid)
  tail: Conv2d(5, 1)(drop)
  out: Dropout
""",
        ("if self.training:", 'return {"out": out, "mid": mid, "aux": aux}'),
    ),
    "values that others need": (
        """
input: [3, size, size]
params: {width: 1.25, size: 8, depths: [1, 2, 3, 4]}
let: {base: make_divisible(8 * width), deep: "depths[1:len(depths) - 1]"}
blocks:
  B:
    params: {out: base + 1, hidden: 2 * out}
    let: {k: "3 if hidden > 20 else 1", pad: k // 2, spare: k + 1}
    layers: ["Conv2d(hidden, k, padding=pad)", "Conv2d(max(out, ceil(width)), 1)"]
layers: [B, B(5), "B(5, hidden=30)", "Conv2d(sum(deep) + round(width, 0), 1)"]
""",
        ("def make_divisible(", "depths[1 : len(depths) - 1]", "if hidden is None:", "math.ceil(width)"),
    ),
    "sizes that are no channels": (
        """
input: [2, 6, 6]
blocks:
  Head: {params: {out: int}, layers: [Flatten, Linear(out)]}
layers:
  a: Conv2d(3, 3)
  b: {concat: [Head(4), "Head(5)"]}
""",
        ("Linear(", "class Head(nn.Sequential):"),
    ),
    "a body in place with names, in copies": (
        """
input: [4, 8, 8]
params: {act: Tanh}
blocks:
  B:
    params: {n: int}
    layers:
      part: {repeat: n, layers: {conv: "Conv2d(in_channels, 3, padding=i)", gate: act, mul: "Mul(conv, gate)"}}
layers: {a: B(1), b: B(2)}
""",
        ("class Part(nn.Module):", "Part(in_channels, i)"),
    ),
    "axes that are reduced, cut and put together anew": (
        """
input: [4, 8, 8]
blocks:
  Centred: {params: {d: [2, 3], keep: True}, layers: {m: "Mean(d, keepdim=keep)", r: "Sub(input, m)"}}
  Halves: {layers: {a: "Slice(0, in_channels // 2)", b: "Slice(in_channels // 2)(input)", q: "Div(a, b)"}}
  Cut:
    params: {g: 2}
    layers:
      - "Unflatten(1, unflattened_size=[g, -1])"
      - Flatten(1, end_dim=2)
      - "Reshape([in_channels, -1])"
      - Reshape(-1)
      - "Unflatten(1, unflattened_size=[in_channels, 8, 8])"
layers:
  a: Centred
  b: "Centred([1])"
  c: "Centred(d=[1, -1])"
  d: Cut
  e: Cut(4)
  f: Halves
  g: Slice(-4, dim=-1)
  h: Concat(g, g, dim=2)
  i: {concat: ["Amax([3, 2], keepdim=True)", "Slice(0, 1, dim=3)", "Sum(3, keepdim=True)"], when: False}
  j: {add: ["Amax(3, keepdim=True)", "Slice(0, 1, dim=3)"]}
  k: "Amin([1, 3])"
""",
        (
            "self.m = Function(torch.mean, d, keepdim=keep)",
            "nn.Unflatten(1, unflattened_size=[g, -1])",
            "Reshape((-1,))",
            "return a / b",
            "torch.cat([g, g], 2)",
            "g = x[:, :, :, 4:]",
            "Function(torch.amax, 3, keepdim=True)",
            "return torch.amin(x, (1, 3))",
        ),
    ),
    "channels that come of another axis": (
        """
input: [6, 4, 9]
blocks:
  Mixed:
    params: {wide: int, end: int}
    layers:
      fc: Linear(wide)
      cut: Slice(end, dim=3)
      turned: Permute((0, 3, 1, 2))
      conv: Conv2d(wide - end, 3, padding=1, groups=wide - end)
      back: Permute((0, 2, 3, 1))
layers: {one: "Mixed(8, 3)", two: "Mixed(12, 5)"}
""",
        ("class Mixed(nn.Module):", "nn.Conv2d(wide - end, wide - end, 3, padding=1, groups=wide - end)"),
    ),
    "what comes again in a list": (
        """
input: [3, 16, 16]
layers:
  features:
    - inline:
        - Conv2d([8, 8, 16, 16][i], 3, padding=1)
        - ReLU
        - MaxPool2d(2) if i == 0 or i % 2 == 1
      repeat: 4
  maps:
    concat:
      - layers:
          - Slice(i, i + 3)
          - Conv2d(1, 1)
        repeat: 3
""",
        ("for i, out in enumerate([8, 8, 16, 16]):", "if i == 0 or i % 2 == 1:"),
    ),
    "paddings, and layers that torch does not have": (
        """
input: [4, 16, 16]
blocks:
  P:
    params: {p: 1, v: 0.5}
    layers: [ReflectionPad2d(p), "ReplicationPad2d([p, 0, 1, p])", CircularPad2d(p), "ConstantPad2d(p, value=v)"]
  S:
    params: {out: int, stride: 1, c: -1}
    layers:
      - StdConv2d(out, 3, stride=stride, padding=1)
      - ScaledStdConv2d(out, 3, padding=same, gamma=1.5)
      - GRN
      - BlurPool2d(stride=stride)
      - Conv2d(out, 3, padding=1, padding_mode=circular)
      - Affine(c, shift=0.5)
layers:
  a: P
  b: "P(2, 1)"
  c: ["ConstantPad2d(1, value=-inf)", MaxPool2d(3)]
  d: S(4)
  e: "S(8, 2, 2)"
  f: Bias(1)
  g: Scale(2, dim=None)
  h: Bias(dim=-1)
  i: {mul: [Bias(0.5), Affine(2), "Affine(shift=-1)"]}
""",
        (
            'nn.ConstantPad2d(1, value=float("-inf"))',
            "nn.ReplicationPad2d([p, 0, 1, p])",
            "StdConv2d(in_channels, out, 3, stride=stride, padding=1)",
            "BlurPool2d(out, stride=stride)",
            'padding_mode="circular"',
            "def _standardised(",
            "import math",
            "torch.full((8, 1, 1), 1.0)",
            "x = x + self.f",
            "x = x * self.g",
            " - 1.0",
        ),
    ),
    "names of what a source has of its own": (
        """
input: [4, 8, 8]
params: {Any: 4, helpers: 2}
blocks:
  Function: {params: {init: 2}, layers: [Sigmoid, "Scale(init)"]}
  Added: {layers: ["Slice(0, helpers)", "Conv2d(Any, 1)"]}
layers:
  Concatenated: {concat: [Function, "Slice(0, 2)"]}
  _binomial: BlurPool2d
  Affine: "Affine(2, shift=1)"
  x: {add: [Added, "Conv2d(Any, 1)"]}
  y: Function(3)
""",
        ("class Function_(nn.", "class Added_(nn.", "float(init)"),
    ),
    "one dimension, and three": (
        """
input: [2, 20]
layers: ["Conv1d(4, 3)", BatchNorm1d, AvgPool1d(2), "LPPool1d(2, kernel_size=3)", Flatten, Linear(3)]
""",
        ("nn.LPPool1d(2, kernel_size=3)",),
    ),
}

LAYER_BY_LAYER: Final = {
    "an output inside of a block": """
input: [3, 8, 8]
outputs: [b.conv, c]
blocks: {B: {layers: {conv: "Conv2d(4, 3)", drop: Dropout, "3": "Conv2d(2, 1)"}}}
layers: {b: B, c: Tanh}
""",
    "copies that are read by their names": """
input: [3, 16, 16]
layers:
  conv{i}: Conv2d(4, 3, padding=1) * 3
  add: Add(conv0, conv2)
""",
    "what nothing needs inside of a block": """
input: [3, 8, 8]
blocks:
  B: {layers: {conv: "Conv2d(3, 1)", drop: Dropout, gate: "Tanh()(conv)", x: "Mul(gate, drop) if in_channels > 3"}}
layers: {a: B, n: "Conv2d(4, 1)", b: B}
""",
}
