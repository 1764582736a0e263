"""One block for many instances: aligned bodies, with expressions, conditions and parameters where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from cnnspec.language.results import LayerName
from cnnspec.ops import Shape, operators
from cnnspec.ops.arguments import REQUIRED
from cnnspec.outline.align import Slot, Slots, align
from cnnspec.outline.conditions import condition, is_joined
from cnnspec.outline.expressions import ABSENT, Param, Solver, named, token
from cnnspec.outline.kinds import CHANNELS, Kinds
from cnnspec.outline.names import name_params
from cnnspec.outline.reads import settle_reads
from cnnspec.outline.repeats import Each, First
from cnnspec.outline.series import either, series
from cnnspec.outline.sketch import Block, Body, Code, Item
from cnnspec.outline.write_spec import value_text

__all__ = ["Instance", "Template", "laid_over", "template"]


_DEPTHS: Final = "depths"
_LAST: Final = Code("last")  # what holds for the last copy, until it is known how many there are


@dataclass(slots=True)
class Instance:
    """A body that a block is to stand for."""

    body: Body
    input_shapes: tuple[Shape, ...]
    shape: Shape


@dataclass(slots=True)
class Template:
    """A block, and what its parameters are for each instance."""

    block: Block
    kinds: dict[str, str]
    arguments: list[dict[str, Any]]


def laid_over(instances: Sequence[Instance]) -> Slots | None:
    """The instances as slots whose reads are right, or None where one block cannot stand for them."""
    if len({len(each.input_shapes) for each in instances}) != 1:
        return None
    made = align([each.body for each in instances])
    return made if made is not None and settle_reads(made) else None


def template(name: str, slots: Slots, instances: Sequence[Instance], kinds: Kinds) -> Template:
    """The block of aligned instances."""
    solver = Solver([each.input_shapes[0][0] for each in instances], [each.shape[0] for each in instances])
    builder = _Builder(solver, kinds, len(instances))
    builder.mandatory(slots, ())
    builder.optional(slots, (), [True] * len(instances))
    body = builder.body(slots)
    _gather_counts(solver.params)
    name_params(solver.params, solver.out_channels)
    _put_names(body, solver.params)
    block = Block(name, body, len(instances[0].input_shapes))
    arguments: list[dict[str, Any]] = [{} for _ in instances]
    asked = " ".join(builder.conditions.values())
    for param in _in_order(solver.params):
        if param.part is not None:
            for number, value in enumerate(param.values):
                arguments[number].setdefault(_DEPTHS, []).append(param.default if value is ABSENT else value)
            block.types[_DEPTHS] = "list"
            continue
        block.types[param.name] = _type(param)
        if param.default is not ABSENT:
            block.defaults[param.name] = param.default
        # Where nothing is made with it, it may be anything; but not where a condition says so.
        absent = param.default if token(solver.params.index(param)) in asked else ABSENT
        for number, value in enumerate(param.values):
            arguments[number][param.name] = absent if value is ABSENT else value
    block.types = dict(sorted(block.types.items(), key=lambda each: each[0] in block.defaults))
    return Template(block, {param.name: param.kind for param in solver.params if param.part is None}, arguments)


def _gather_counts(params: Sequence[Param]) -> None:
    """Several numbers of copies are one list."""
    counts = [param for param in params if param.kind == "count"]
    if len(counts) > 1:
        for number, param in enumerate(counts):
            param.part = number
            param.name = f"{_DEPTHS}[{number}]"


class _Builder:
    """Solves slots: those that all instances have first, since the value of an absent one matches anything."""

    def __init__(self, solver: Solver, kinds: Kinds, count: int) -> None:
        self.solver = solver
        self.kinds = kinds
        self.count = count
        self.args: dict[int, dict[str, Any]] = {}  # by slot
        self.counts: dict[int, Any] = {}
        self.targets: dict[int, str] = {}
        self.conditions: dict[int, Code] = {}

    def mandatory(self, slots: Slots, path: tuple[str, ...]) -> None:
        for slot in slots.slots:
            if slot.optional:
                continue
            if slot.inner is None:
                self.solve(slot, (*path, slot.key))
            else:
                self.mandatory(slot.inner, (*path, slot.key))

    def optional(self, slots: Slots, path: tuple[str, ...], around: Sequence[bool]) -> None:
        """Those that some instances lack; `around` says which have the body that they are in."""
        for slot in slots.slots:
            here = (*path, slot.key)
            there = [item is not None for item in slot.items]
            if slot.optional:
                if slot.inner is None:
                    self.solve(slot, here)
                if not self.holds_layer(slot) and there != list(around):
                    self.settle(
                        slots, slot, here, [each if near else None for each, near in zip(there, around, strict=True)]
                    )
            if slot.inner is not None:
                if slot.optional:
                    self.all_there(slot.inner, here, there)
                self.optional(slot.inner, here, there)

    def all_there(self, slots: Slots, path: tuple[str, ...], around: Sequence[bool]) -> None:
        """Solve the slots of an optional body that are there whenever it is."""
        for slot in slots.slots:
            if [item is not None for item in slot.items] != list(around):
                continue
            if slot.inner is not None:
                self.all_there(slot.inner, (*path, slot.key), around)
            elif id(slot) not in self.args:
                self.solve(slot, (*path, slot.key))

    def settle(self, slots: Slots, slot: Slot, path: tuple[str, ...], present: Sequence[bool | None]) -> None:
        own = [str(value) for value in self.own(slot) if isinstance(value, Code)]
        joined = is_joined(slots.slots, slot)
        self.conditions[id(slot)] = condition(self.solver, slot, present, own, path, joined)

    def own(self, slot: Slot) -> list[Any]:
        if slot.inner is None:
            return list(self.args.get(id(slot), {}).values())
        return [value for inner in slot.inner.slots for value in self.own(inner)]

    def holds_layer(self, slot: Slot) -> bool:
        """Whether a parameter holds the layer, or None."""
        return id(slot) in self.targets

    def solve(self, slot: Slot, path: tuple[str, ...]) -> None:
        there = [item for item in slot.items if item is not None]
        first = slot.first
        targets = {item.target for item in there}
        if len(targets) > 1 or (slot.optional and self.is_activation(first)):
            values = [LayerName(item.target) if item is not None else None for item in slot.items]
            argument = "act" if self.is_activation(first) else "layer"
            self.targets[id(slot)] = str(self.solver.solve(values, "layer", argument, path))
        self.args[id(slot)] = {
            name: value
            for name in self.kinds.arguments(first.target, there)
            if (value := self.argument(slot, name, path)) is not ABSENT
        }
        if any(item.count is not None for item in there):
            counts = [ABSENT if item is None else 1 if item.count is None else item.count for item in slot.items]
            self.counts[id(slot)] = count = self.solver.solve(counts, "count", "n", path)
            last = Code(f"i == {value_text(count)} - 1")
            self.args[id(slot)] = {n: last if v is _LAST else v for n, v in self.args[id(slot)].items()}

    def is_activation(self, item: Item) -> bool:
        return item.target in operators() and operators()[item.target][0].activation and not item.args

    def argument(self, slot: Slot, name: str, path: tuple[str, ...]) -> Any:
        values = [ABSENT if item is None else self.kinds.value(item, name) for item in slot.items]
        kind, base = self.kinds.of(slot.first.target, name), name
        if any(isinstance(value, Each) for value in values):
            lists = [_listed(value, item) for value, item in zip(values, slot.items, strict=True)]
            if _only_last(lists):
                return _LAST
            longest = max((each for each in lists if each is not ABSENT), key=len)
            if all(each is ABSENT or repr(each) == repr(longest[: len(each)]) for each in lists):
                lists = [ABSENT if each is ABSENT else longest for each in lists]
            return _indexed(self.solver.solve(lists, f"list of {kind}", base, path))
        if any(isinstance(value, First) for value in values):
            firsts = [value.first if isinstance(value, First) else value for value in values]
            rests = [
                value.rest if isinstance(value, First) else ABSENT if item and item.count == 1 else value
                for value, item in zip(values, slot.items, strict=True)
            ]
            first = self.solver.solve(firsts, kind, base, path)
            rest = self.solver.solve(rests, kind, base, path)
            return First(first, rest)
        return self.solver.solve(values, kind, base, path)

    # The body

    def body(self, slots: Slots) -> Body:
        return Body(slots.kind, [self.item(slot) for slot in slots.slots], slots.named)

    def item(self, slot: Slot) -> Item:
        when = self.conditions.get(id(slot))
        if slot.inner is not None:
            return Item(slot.key, slot.reads, body=self.body(slot.inner), when=when)
        first = slot.first
        target = self.targets.get(id(slot), first.target)
        args = {}
        for name, value in self.args[id(slot)].items():
            default = self.kinds.default(first.target, name)
            if default is REQUIRED or repr(value) != repr(default):
                args[name] = _said(value)
        return Item(slot.key, slot.reads, target, args, None, self.counts.get(id(slot)), when, first.source)


def _listed(value: Any, item: Item | None) -> Any:
    """The values of an argument in all copies."""
    if item is None:
        return ABSENT
    if isinstance(value, Each):
        return list(value.values)
    first, rest = (value.first, value.rest) if isinstance(value, First) else (value, value)
    return [first] + [rest] * (int(item.count or 1) - 1)


def _only_last(lists: Sequence[Any]) -> bool:
    """Whether flags hold for the last copy alone, however many there are."""
    there = [each for each in lists if each is not ABSENT]
    alike = all(repr(each) == repr([False] * (len(each) - 1) + [True]) for each in there)
    return alike and len({len(each) for each in there}) > 1


def _indexed(value: Any) -> Any:
    text = (series(value) or either(value)) if isinstance(value, list) else None
    return text or Code(f"{value_text(value)}[i]")


def _said(value: Any) -> Any:
    """An argument as it is written."""
    if not isinstance(value, First):
        return value
    if value.rest is ABSENT:
        return value.first
    if isinstance(value.first, bool) and value.rest is not value.first:
        return Code("i == 0" if value.first else "i > 0")
    first, rest = value_text(value.first), value_text(value.rest)
    return Code(first if first == rest else f"{first} if i == 0 else {rest}")


def _put_names(body: Body, params: Sequence[Param]) -> None:
    for item in body.items:
        item.target = named(item.target, params)
        item.args = {name: named(v, params) if isinstance(v, Code) else v for name, v in item.args.items()}
        if isinstance(item.count, Code):
            item.count = named(item.count, params)
        if item.when is not None:
            item.when = named(item.when, params)
        if item.body is not None:
            _put_names(item.body, params)


# Parameters ---------------------------------------------------------------------------------------------------------

_NEUTRAL = {"stride": 1, "dilation": 1, "groups": 1, "padding": 0}


def _in_order(params: Sequence[Param]) -> list[Param]:
    """Those without a default first, as they are given by position."""
    for param in params:
        _set_default(param)
    return sorted(params, key=lambda param: param.default is not ABSENT)


def _set_default(param: Param) -> None:
    """A default where most instances have it, or where it is the one that torch has."""
    known = [value for value in param.values if value is not ABSENT]
    lacking = len(known) < len(param.values)
    if param.default is ABSENT:
        counted = Counter(map(repr, known)).most_common(1)[0]
        usual = next(value for value in known if repr(value) == counted[0])
        neutral = _NEUTRAL.get(param.kind)
        if neutral is not None and any(value == neutral and type(value) is int for value in known):
            param.default = neutral
        elif (
            lacking
            or param.kind in ("flag", "layer")
            or (param.kind not in (CHANNELS, "count", "groups") and 2 * counted[1] > len(known))
        ):
            param.default = usual


def _type(param: Param) -> str:
    values = [value for value in param.values if value is not None and value is not ABSENT]
    if all(isinstance(value, bool) for value in values):
        return "bool"
    if all(isinstance(value, LayerName) for value in values):
        return "layer"
    if all(type(value) is int for value in values):
        return "int"
    if all(isinstance(value, (int, float)) for value in values):
        return "float"
    return "list" if any(isinstance(value, list) for value in values) else "size"
