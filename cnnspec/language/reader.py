"""A value tree becomes a document. Collects what is wrong instead of stopping at the first fault.

What could not be read leaves a gap (a body of None, the value FAULT), so that nothing is reported that only follows
from another error.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final, NamedTuple

from cnnspec.errors import Diagnostic, Place
from cnnspec.hints import did_you_mean
from cnnspec.intake import FITS, INPUT_KEYS, STRETCH, Intake
from cnnspec.language.document import BODIES, FAULT, TYPES, Argument, Block, Document, Expr, Param
from cnnspec.language.read_body import BodyReader
from cnnspec.language.read_header import read_header
from cnnspec.language.read_parts import BLOCK_KEYS, IDENTIFIER, TOP_KEYS, Parts, TooManyFaults
from cnnspec.language.tree import ListValue, MapValue, Scalar, Value, plain

__all__ = ["read_document"]

_NO_TYPES: Final = {"integer": "int", "number": "float", "boolean": "bool", "tuple": "size", "str": None}
_INPUT: Final = ("shape", "mean", "std", *INPUT_KEYS)
_LARGEST: Final = 2**31 - 1


class _Input(NamedTuple):
    shape: Expr | None = None
    mean: tuple[float, ...] | Expr = ()
    std: tuple[float, ...] | Expr = ()
    intake: Intake = STRETCH


_NO_INPUT: Final = _Input()


class _Reader:
    def __init__(self, parts: Parts) -> None:
        self.parts = parts
        self.bodies = BodyReader(parts)

    def document(self, root: Value) -> Document | None:
        if not isinstance(root, MapValue):
            self.parts.error("E107", "a spec is a mapping, starting with `cnnspec: 1`", root.place)
            return None
        if not self.version(root):
            return None
        root, inputs = self.without_inputs(root)
        root = self.parts.known_keys(root, TOP_KEYS, "a spec")
        header = read_header(root, self.parts)
        shape, mean, std, intake = _NO_INPUT if inputs and root.get("input") is None else self.input(root)
        blocks = {}
        for key, value in self.parts.entries(root.get("blocks"), "blocks"):
            self.parts.identifier(key, "block")
            blocks[key.value] = self.block(key.value, value, key.place)
        variants = {}
        for key, value in self.parts.entries(root.get("variants"), "variants"):
            self.parts.name(key)
            settings = self.parts.entries(value, f"the variant {key.value:.60}")
            variants[key.value] = tuple(Argument(n.value, self.parts.expr(setting), n.place) for n, setting in settings)
        main = self.block(header.name, root, root.place, top=True)._replace(inputs=inputs)
        places = {key.value: key.place for key, _ in root.entries}
        for listed in ("outputs", "aux_outputs"):
            names = root.get(listed)
            for index, item in enumerate(names.items if isinstance(names, ListValue) else ()):
                places[f"{listed}.{index}"] = item.place
        train = root.get("train")
        entries = train.entries if isinstance(train, MapValue) else ()
        options = {key.value: (key.place, value.place) for key, value in entries}
        document = Document(header, main, shape, mean, std, blocks, variants, places, options, intake=intake)
        return document if root.get("search") is None else self.with_search(document, root)

    def with_search(self, document: Document, root: MapValue) -> Document:
        """The document with its section `search`, whose readers no other spec waits for."""
        from cnnspec.language.search_section import check_space, read_search

        value = root.get("search")
        assert value is not None
        section = read_search(value, self.parts)
        for fault in () if section is None else check_space(section, document):
            self.parts.keep(fault)
        return replace(document, search=section)

    def without_inputs(self, root: MapValue) -> tuple[MapValue, tuple[tuple[str, Place], ...]]:
        """The document without the names of `inputs`, which are reported, and these names: more is not said of them."""
        value = root.get("inputs")
        listed = value.items if isinstance(value, ListValue) else []
        if isinstance(value, MapValue) and not {*_INPUT} & value.seen:
            listed = [name for name, _ in value.entries]
        names = [item for item in listed if isinstance(item, Scalar) and isinstance(item.value, str)]
        if not names:  # none, or a misspelt `input`
            return root, ()
        place = next(key.place for key, _ in root.entries if key.value == "inputs")
        hint = "write `input: [3, 224, 224]`; only a block may read several nodes"
        self.parts.error("E107", "a network has one input", place, help=hint)
        entries = [(key, item) for key, item in root.entries if key.value != "inputs"]
        inputs = tuple((name.value, name.content) for name in names)
        return MapValue(entries, root.place, root.seen - {"inputs"}), inputs

    def version(self, root: MapValue) -> bool:
        """Whether there is anything to read: a spec of another version, or something else, is not taken apart."""
        version = root.get("cnnspec")
        if version is None:
            self.parts.error(
                "E107", "the first line of a spec is `cnnspec: 1`, the version of the language", root.place
            )
            return any(root.get(body) for body in BODIES)
        if isinstance(version, Scalar) and type(version.value) is int and version.value == 1:
            return True
        shown = version.spelling if isinstance(version, Scalar) else "a list or mapping"
        message = f"this cnnspec reads version 1 of the language, not {shown:.40}"
        self.parts.error("E107", message, version.place, help="write `cnnspec: 1`")
        return False

    def input(self, root: MapValue) -> _Input:
        value = root.get("input")
        if value is None:
            self.parts.error("E107", "a spec says the shape of its input: `input: [1, 28, 28]`", root.place)
            return _NO_INPUT
        if not isinstance(value, MapValue):
            return _Input(self.shape(value))
        value = self.parts.known_keys(value, _INPUT, "`input`")
        shape = value.get("shape")
        if shape is None:
            self.parts.error("E107", "`input` wants a `shape`", value.place)
        params = root.get("params")
        names = {key.value for key, _ in params.entries} if isinstance(params, MapValue) else set()
        read = _Input(self.shape(shape) if shape else None, intake=self.intake(value))
        mean, std = self.floats(value, "mean", names), self.floats(value, "std", names)
        if mean is None or std is None:  # reported
            return read
        if isinstance(mean, tuple) and isinstance(std, tuple) and len(mean) != len(std):
            self.parts.error("E107", "`mean` and `std` go together, with one number per channel", value.place)
            mean = std = ()
        if isinstance(std, tuple) and any(number <= 0 for number in std):
            self.parts.error("E107", "`std` is above 0", value.place)
        return read._replace(mean=mean, std=std)

    def intake(self, value: MapValue) -> Intake:
        """How files of another size or rate are read."""
        fit, resize, rate = (value.get(key) for key in INPUT_KEYS)
        word = fit.value if isinstance(fit, Scalar) else None
        if fit is not None and word not in FITS:
            label = did_you_mean(fit.spelling, FITS) if isinstance(fit, Scalar) else None
            self.parts.error("E107", f"`fit` is one of {', '.join(FITS)}", fit.place, label)
        numbers = [self.natural(each, key) for each, key in ((resize, "resize"), (rate, "rate"))]
        if resize is not None and word != "crop":
            self.parts.error("E107", "`resize` goes with `fit: crop`", resize.place)
        return Intake("crop" if word == "crop" else "stretch", *numbers)

    def natural(self, value: Value | None, name: str) -> int | None:
        """A whole number above 0, if it is given."""
        if value is None:
            return None
        number = value.value if isinstance(value, Scalar) else None
        if type(number) is int and 1 <= number <= _LARGEST:
            return number
        self.parts.error("E107", f"`{name}` is a whole number above 0", value.place)
        return None

    def shape(self, value: Value) -> Expr:
        if isinstance(value, Scalar) and isinstance(value.value, str) and re.match(r"\d+( *[x×] *\d+)+\Z", value.value):
            listed = ", ".join(re.findall(r"\d+", value.value))
            self.parts.error("E107", "a shape is a list of numbers", value.place, help=f"write `[{listed:.60}]`")
            return Expr(FAULT, value.place)
        return self.parts.expr(value)

    def floats(self, parent: MapValue, name: str, params: set[str]) -> tuple[float, ...] | Expr | None:
        value = parent.get(name)
        if value is None:
            return ()
        if isinstance(value, Scalar) and value.value in params:
            return self.parts.expr(value)
        numbers = plain(value)
        numbers = numbers if isinstance(numbers, list) else [numbers]
        good = all(isinstance(n, (int, float)) and not isinstance(n, bool) and abs(n) < 1e6 for n in numbers)
        if not good or not numbers:
            self.parts.error("E107", f"`{name}` is a list of numbers, one per channel", value.place)
            return None
        return tuple(float(number) for number in numbers)

    def block(self, name: str, value: Value, place: Place, *, top: bool = False) -> Block:
        what = "a spec" if top else f"the block {name:.60}"
        if not isinstance(value, MapValue):
            hint = "put the list below `layers:`" if isinstance(value, ListValue) else None
            self.parts.error(
                "E107", f"{what} is a mapping with `layers:` and perhaps `params:`", value.place, help=hint
            )
            return Block(name, place)
        if not top:
            value = self.parts.known_keys(value, BLOCK_KEYS, what)
        params = []
        for key, item in self.parts.entries(value.get("params"), "params"):
            self.parts.identifier(key, "parameter")
            params.append(self.param(key, item))
        let = []
        for key, item in self.parts.entries(value.get("let"), "let"):
            self.parts.identifier(key, "local value")
            let.append((key.value, self.parts.expr(item)))
        inputs = () if top else self.inputs(value.get("inputs"))
        bodies = [key for key, _ in value.entries if key.value in BODIES]
        if len(bodies) != 1:
            message = f"{what} has one of {', '.join(f'`{body}`' for body in BODIES)}"
            fault = bodies[-1].place if bodies else place
            self.parts.error("E107", message + (", not several" if bodies else ""), fault)
            return Block(name, place, tuple(params), tuple(let), inputs)
        inner = value.get(bodies[0].value)
        assert inner is not None
        return Block(name, place, tuple(params), tuple(let), inputs, self.bodies.body(bodies[0].value, inner))

    def inputs(self, value: Value | None) -> tuple[tuple[str, Place], ...]:
        if value is None:
            return ()
        inputs: list[tuple[str, Place]] = []
        for item in value.items if isinstance(value, ListValue) else [value]:
            if not (isinstance(item, Scalar) and isinstance(item.value, str) and IDENTIFIER.match(item.value)):
                self.parts.error("E107", "`inputs` is a list of names", item.place)
            elif item.value in [name for name, _ in inputs] or (item.value == "input" and inputs):
                message = f"two inputs are called `{item.value}`" + (" (the first always is)" * (item.value == "input"))
                self.parts.error("E108", message, item.place)
            else:
                inputs.append((item.value, item.content))
        return tuple(inputs)

    def param(self, key: Scalar, value: Value) -> Param:
        word = value.value if isinstance(value, Scalar) and isinstance(value.value, str) else None
        if word in TYPES:
            return Param(key.value, key.place, word, None)
        if word in _NO_TYPES:
            meant = _NO_TYPES[word]
            label = f"did you mean `{meant}`?" if meant else None
            self.parts.error("E115", f"there is no type `{word}`", value.place, label, f"there are: {', '.join(TYPES)}")
            return Param(key.value, key.place, None, Expr(FAULT, value.place))
        return Param(key.value, key.place, None, self.parts.expr(value))


def read_document(root: Value) -> tuple[Document | None, list[Diagnostic]]:
    """The document that a value tree says (None where it is none), and everything that is wrong with it."""
    parts = Parts()
    try:
        document = _Reader(parts).document(root)
    except TooManyFaults:
        document = None
    return document, parts.found
