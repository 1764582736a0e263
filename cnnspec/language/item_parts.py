"""The parts of an item that surround its call: reads, copies, condition and name."""

from __future__ import annotations

from typing import Any

from cnnspec.hints import did_you_mean
from cnnspec.language.document import Item
from cnnspec.language.names import RESERVED
from cnnspec.language.results import show
from cnnspec.language.values import Frame, Log, Ref, TooMany, UnknownValue, Values

__all__ = ["ItemParts"]


class ItemParts:
    """Works out the parts of items. What an error has taken is None, or a Ref without a shape."""

    def __init__(self, values: Values, log: Log, max_nodes: int) -> None:
        self.values = values
        self.log = log
        self.max_nodes = max_nodes

    def resolve(self, item: Item, frame: Frame) -> tuple[Ref, ...] | None:
        if item.reads is None:
            return None
        self.values.charge(len(item.reads), frame, item.place)
        refs = []
        for name, place in item.reads:
            if name in frame.siblings:
                refs.append(frame.siblings[name])
            elif name in frame.inputs:
                refs.append(frame.inputs[name])
            else:
                known = [*frame.siblings, *frame.inputs]
                label = did_you_mean(name, known)
                hint = None if label else f"there are: {', '.join(known[-12:])}"
                message = f"there is no earlier node `{name:.60}` in this body"
                self.log.error(frame, "E109", message, place, label, hint)
                refs.append(Ref(name, None))
        return tuple(refs)

    def count(self, item: Item, frame: Frame) -> int | None:
        """How many copies there are, or None after an error."""
        if item.repeat is None:
            return 1
        try:
            value = self.values.value(item.repeat, frame)
        except UnknownValue:
            return None
        if type(value) is not int:
            message = f"a repetition wants a whole number, not {show(value)}"
            self.log.error(frame, "E112", message, item.repeat.place)
            return None
        if value < 0:
            self.log.error(frame, "E112", f"a repetition of {value} is negative", item.repeat.place)
            return None
        if value > self.max_nodes:
            message = f"{value:,} copies are more than the {self.max_nodes:,} nodes that a network may have"
            self.log.error(frame, "E113", message, item.repeat.place, help="`--max-nodes` raises the limit")
            raise TooMany
        return value

    def present(self, item: Item, frame: Frame) -> bool | None:
        """Whether a copy is there, or None after an error."""
        if item.call is not None and item.call.target in frame.scope and frame.scope[item.call.target] is None:
            return False  # a parameter that holds no layer
        if item.when is None:
            return True
        try:
            value = self.values.value(item.when, frame)
        except UnknownValue:
            return None
        if not isinstance(value, bool):
            message = f"a condition is True or False, not {show(value)}"
            self.log.error(frame, "E111", message, item.when.place, help=_compare(value))
            return None
        return value

    def render_key(self, item: Item, frame: Frame) -> str | None:
        """The name of a copy, or None after an error."""
        parts = []
        for part in item.template:
            if isinstance(part, str):
                parts.append(part)
                continue
            try:
                value = self.values.value(part, frame)
            except UnknownValue:
                return None
            if type(value) is not int or value < 0:
                self.log.error(frame, "E108", f"a name is made of whole numbers, not {show(value)}", part.place)
                return None
            parts.append(str(value))
        key = "".join(parts)
        if key in RESERVED:
            hint = "torch.nn.Module keeps this name for itself"
            self.log.error(frame, "E108", f"a node may not be called `{key}`", item.place, help=hint)
        return key


def _compare(value: Any) -> str | None:
    return "compare it: `n > 0`" if isinstance(value, (int, float)) else None
