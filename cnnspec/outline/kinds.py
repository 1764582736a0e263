"""What arguments are: channels, a kernel, a stride. Only what is of one kind is expressed by each other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cnnspec.ops import operators
from cnnspec.ops.arguments import REQUIRED
from cnnspec.outline.sketch import Block, Item

__all__ = ["CHANNELS", "Kinds"]

CHANNELS: Final = "channels"
_OF: Final = {
    "out_channels": CHANNELS,
    "out_features": CHANNELS,
    "groups": "groups",
    "num_groups": "groups",
    "num_parameters": CHANNELS,
    "start": CHANNELS,
    "end": CHANNELS,
    "kernel_size": "kernel",
    "stride": "stride",
    "padding": "padding",
    "dilation": "dilation",
}
# As torch has them: convolutions have other fields first.
_ORDER: Final = ("out_channels", "kernel_size", "stride", "padding", "output_padding", "dilation", "groups", "bias")


@dataclass
class Kinds:
    """The blocks made so far, with what their parameters are."""

    blocks: dict[str, Block] = field(default_factory=dict)
    params: dict[str, dict[str, str]] = field(default_factory=dict)  # the kind of each parameter of a block

    def is_block(self, target: str) -> bool:
        """Whether a call is one of a block."""
        return target in self.blocks

    def of(self, target: str, name: str) -> str:
        """The kind of an argument."""
        if target in self.blocks:
            return self.params[target].get(name, name)
        return _OF.get(name, name)

    def default(self, target: str, name: str) -> Any:
        """What an argument is that is not given; REQUIRED where it must be."""
        if target in self.blocks:
            return self.blocks[target].defaults.get(name, REQUIRED)
        return operators()[target][0].fields()[name].default if target in operators() else REQUIRED

    def value(self, item: Item, name: str) -> Any:
        """What an argument of a call is."""
        return item.args[name] if name in item.args else self.default(item.target, name)

    def arguments(self, target: str, items: Iterable[Item]) -> list[str]:
        """The arguments that one of these calls is given, in their order."""
        given = dict.fromkeys(name for item in items for name in item.args)
        if target in self.blocks:
            return [name for name in self.blocks[target].types if name in given]
        return sorted(given, key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
