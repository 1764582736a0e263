"""Specs as somebody writes them who wants to see the program hang: small, and with numbers as large as they may be."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from cnnspec.language import read_spec

__all__ = ["LONGEST", "hostile_spec"]

HUGE = (2**31 - 1, 2**31 - 2, 16_000_000, 1_000_003, 262_144, 99_991, 65_536, 40_000, 39_979)
ODD = (1, 2, 3, 4, 5, 6, 7, 9, 11, 13, 31, 64, 97, 101, 210, 1009, 1013, 2310)
FACTORS = (2, 3, 7, 0.5, 0.37, 1.001, 1.5, 2.75, 97, 1009.5, 30_000)
TRIES = 12  # layers that are tried for one that fits
MODES = {1: ("nearest", "nearest-exact", "linear"), 2: ("nearest", "bilinear", "bicubic"), 3: ("nearest", "trilinear")}


class _Author:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.rank = self.random.choice((0, 1, 1, 2, 2, 2, 3))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def number(self, huge: float = 0.25) -> int:
        """A number that is large, odd, or anything."""
        if self.chance(huge):
            return self.random.choice(HUGE)
        return self.random.choice(ODD) if self.chance(0.8) else self.random.randint(1, 5000)

    def small(self) -> int:
        return self.random.choice((1, 1, 2, 2, 3, 4, 5, 8, 16))

    def axes(self, number: Callable[[], int]) -> str:
        """One number for all axes, or one for each."""
        if self.chance(0.6):
            return str(number())
        return str([number() for _ in range(self.rank)])

    def shape(self) -> str:
        channels = self.random.choice((1, 2, 3, 4, 6, 8, 12, 16, 512, 30_000))
        sizes = [self.random.choice((self.number(0.4), 28, 224, 1024)) for _ in range(self.rank)]
        return str([channels, *sizes])

    def windows(self) -> str:
        """The arguments of something that slides: a kernel, stride, padding and dilation."""
        kernel = self.axes(lambda: self.number(0.1) if self.chance(0.5) else self.small())
        given = [kernel]
        if self.chance(0.7):
            given.append(f"stride={self.axes(lambda: self.number(0.1))}")
        if self.chance(0.4):
            given.append(f"padding={self.axes(lambda: self.number(0.15))}")
        return ", ".join(given)

    def layer(self) -> str:
        """A call that may or may not fit."""
        rank, random = self.rank, self.random
        if not rank:
            return random.choice(
                (
                    "ReLU", f"Linear({self.number()})", "Softmax(dim=1)", "LogSoftmax", "LayerNorm",
                    f"Slice({self.small()})", "GRN",
                    f"Unflatten(1, unflattened_size={[self.small(), -1]})", f"Reshape({[1, self.number()]})",
                )
            )  # fmt: skip
        dilation = f", dilation={self.axes(self.number)}" if self.chance(0.25) else ""
        channels = self.small() if self.chance(0.8) else self.number()
        kinds = (
            lambda: f"Conv{rank}d({channels}, {self.windows()}{dilation})",
            lambda: f"ConvTranspose{rank}d({channels}, {self.windows()}{dilation})",
            lambda: f"Conv{rank}d({channels}, {self.axes(self.small)}, padding=same)",
            lambda: f"MaxPool{rank}d({self.windows()}, ceil_mode={random.choice((True, False))})",
            lambda: f"AvgPool{rank}d({self.windows()})",
            lambda: f"LPPool{rank}d(2, {self.small()}, stride={self.number()})",
            lambda: f"Adaptive{random.choice(('Avg', 'Max'))}Pool{rank}d({self.axes(self.number)})",
            lambda: f"Adaptive{random.choice(('Avg', 'Max'))}Pool{rank}d({self.axes(self.number)})",
            lambda: f"ZeroPad{rank}d({self.number() * random.choice((1, 1, -1))})",
            lambda: f"{random.choice(('Reflection', 'Replication', 'Circular'))}Pad{rank}d({self.number()})",
            lambda: f"Upsample(scale_factor={random.choice(FACTORS)}, mode={self.mode()})",
            lambda: f"Upsample(size={self.axes(self.number)}, mode={self.mode()})",
            lambda: f"LocalResponseNorm({self.number()})",
            lambda: f"PixelShuffle({self.small()})",
            lambda: f"ChannelShuffle({self.small()})",
            lambda: f"Slice({self.small()}, {self.number(0)})",
            lambda: f"GroupNorm({self.small()})",
            lambda: f"Permute([0, {', '.join(map(str, random.sample(range(1, rank + 2), rank + 1)))}])",
            lambda: f"Slice({self.number(0)}, {self.number()}, dim={self.axis()})",
            lambda: f"{random.choice(('Mean', 'Sum', 'Amax', 'Amin'))}({self.some_axes()}, keepdim={self.chance(0.7)})",
            lambda: f"Reshape({[self.small(), -1, *(self.number() for _ in range(rank - 1))]})",
            lambda: f"Unflatten({self.axis()}, unflattened_size={[-1, self.small()]})",
            lambda: f"BlurPool2d({self.small()}, stride={self.number()})",
            lambda: f"StdConv2d({channels}, {self.windows()}{dilation})",
            lambda: f"ScaledStdConv2d({channels}, {self.axes(self.small)}, padding=same)",
            lambda: f"Conv{rank}d({channels}, {self.windows()}, padding_mode={random.choice(('reflect', 'circular'))})",
            lambda: f"{random.choice(('Scale', 'Bias'))}(dim={self.axis()})",
            lambda: random.choice(
                ("LayerNorm", "GRN", "LayerNorm2d", f"Affine({self.number()}, shift={self.number()})")
            ),
            lambda: f"Linear({self.number()})",
            lambda: f"Softmax(dim={self.axis()})",
            lambda: random.choice(
                ("ReLU", "PReLU", f"BatchNorm{rank}d", f"InstanceNorm{rank}d", "Dropout", "Identity")
            ),
            lambda: "Flatten",
        )
        return random.choice(kinds)()

    def axis(self) -> int:
        return self.random.choice((-1, *range(1, self.rank + 2)))

    def some_axes(self) -> str:
        return str(self.random.sample(range(1, self.rank + 2), self.random.randint(1, self.rank + 1)))

    def mode(self) -> str:
        return self.random.choice(MODES[self.rank])

    def branches(self) -> str:
        """Paths side by side, of one join."""
        join = self.random.choice(("concat", "add", "mul"))
        paths = [[self.layer() for _ in range(self.random.randint(1, 3))] for _ in range(self.random.randint(2, 4))]
        return f"{{{join}: {[*paths, ['Identity']] if self.chance(0.3) else paths}}}"

    def item(self) -> str:
        roll = self.random.random()
        if roll < 0.6:
            return f'"{self.layer()}"'
        if roll < 0.75:
            return self.branches()
        if roll < 0.9:
            return f'"{self.layer()} * {self.random.choice(self.copies())}"'
        return f'{{layers: ["{self.layer()}", "{self.layer()}"], repeat: {self.random.choice(self.copies()) // 2 + 1}}}'

    def copies(self) -> tuple[int, ...]:
        """Numbers of copies, seldom very many: most of what is hostile is not in their number."""
        return (1000, 5000) if self.chance(0.08) else (2, 3, 10, 50)


def _doubling(author: _Author) -> str:
    """Blocks that call each other twice: few lines, very many nodes."""
    depth, joined = author.random.randint(3, 12), author.chance(0.5)
    calls = "{{add: [B{0}, B{0}]}}" if joined else "{{layers: [B{0}, B{0}]}}"
    blocks = "".join(f"  B{n}: {calls.format(n + 1)}\n" for n in range(depth))
    return f'blocks:\n{blocks}  B{depth}: {{layers: ["{author.layer()}"]}}\nlayers: [B0]\n'


def _repeated_variants(author: _Author, items: list[str]) -> str:
    count, most = author.random.choice(((3, 5000), (40, 900), (300, 40), (2000, 1)))
    listed = "".join(f"  v{n}: {{n: {author.random.randint(0, most)}}}\n" for n in range(count))
    body = "".join(f"  - {item}\n" for item in items)
    return f'params: {{n: 1}}\nvariants:\n{listed}layers:\n{body}  - "{author.layer()} * n"\n'


def hostile_spec(seed: int) -> str:
    """A small spec, of many the one that `seed` draws. Most are valid: what does not fit is tried anew."""
    author = _Author(seed)
    head = f"cnnspec: 1\ninput: {author.shape()}\n"
    if author.chance(0.05):
        return head + _doubling(author)
    items: list[str] = []
    for _ in range(author.random.choice((1, 2, 2, 3, 3, 4, 6, 10))):
        for _ in range(TRIES):
            tried = [*items, author.item()]
            text = head + "layers:\n" + "".join(f"  - {item}\n" for item in tried)
            graph = read_spec("net.yaml", text.encode()).outcome().graph
            if graph is not None or author.chance(0.02):
                items = tried
                author.rank = author.rank if graph is None else min(len(graph.output_shape) - 1, 3)
                break
    if author.chance(0.1):
        return head + _repeated_variants(author, items)
    return head + "layers:\n" + "".join(f"  - {item}\n" for item in items or ["ReLU"])


_VARIANTS = "".join(f"  v{n}: {{n: {n * 17 % 41}}}\n" for n in range(300))
_CALLS = "".join(f"  B{n}: {{layers: [B{n + 1}, B{n + 1}]}}\n" for n in range(12))
LONGEST = {  # specs that once took longest
    "variants": f"""cnnspec: 1
input: [3, 1024, 28]
params: {{n: 1}}
variants:
{_VARIANTS}layers:
  - "Conv2d(1, 4)"
  - {{layers: ["Upsample(size=[11, 6], mode=nearest)", "Upsample(size=[1, 262144], mode=nearest)"], repeat: 2}}
  - "AdaptiveMaxPool2d([13, 1000003]) * n"
""",
    "features": """cnnspec: 1
input: [12, 1013]
layers:
  - "LayerNorm * 50"
  - "LocalResponseNorm(5)"
  - {layers: ["Linear(65536)", "GroupNorm(1)"], repeat: 2501}
""",
    "volumes": """cnnspec: 1
input: [1, 64, 1000003, 64]
layers:
  - "LayerNorm"
  - "Upsample(size=101, mode=trilinear) * 5000"
  - "Conv3d(262144, 2, stride=97)"
  - "InstanceNorm3d"
""",
    "blocks": f"""cnnspec: 1
input: [12, 16000000]
blocks:
{_CALLS}  B12: {{layers: ["LayerNorm"]}}
layers: [B0]
""",
}
