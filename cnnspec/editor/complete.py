"""What can be written at a place, and the signature of the call that is being written."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeAlias

from cnnspec.editor.sections import ITEM, Key, Options, keys_below, no_options, path_to
from cnnspec.editor.snapshot import Snapshot
from cnnspec.language.bind import argument_names
from cnnspec.language.document import BODIES, INLINE, TYPES, Block, Body, Document, Item, Param
from cnnspec.language.functions import FUNCTIONS
from cnnspec.language.read_body import JOIN_NAMES
from cnnspec.language.values import layer_names
from cnnspec.ops import operators
from cnnspec.ops.describe import argument_line, call_line, summary

__all__ = ["Completion", "Signature", "complete", "signature"]

CompletionKind: TypeAlias = Literal["key", "operator", "block", "argument", "parameter", "layer", "function", "word"]

_WORD: Final = re.compile(r"(?:train\.)?[\w-]*\Z")
_VALUE_BEGINS: Final = re.compile(r"(?:: +(?:\[(?:[^\[\]{}:,]*,)* *)?|^ *- +)[\w.-]*\Z")  # also one of a list
_KEY_BEGINS: Final = re.compile(r"(?:^|[{,]) *[\w.-]*\Z")
_OPEN_CALL: Final = re.compile(r"([A-Za-z_]\w*)\(([^()]*(?:\([^()]*\)[^()]*)*)\Z")
_OPEN_READS: Final = re.compile(rf"(?:\)|\b(?:{'|'.join(JOIN_NAMES)}))\([\w., -]*\Z")
_ITEM_START: Final = re.compile(r" *(?:- +)?(?:[\w{}+*-]+: +)?(?:\{(?:[^{}]*,)? *(?:\w+: +)?)?\w*\Z")
_TYPE: Final = re.compile(r"(?:^|[{,]) *(?:- +)?type: *(\w+)")
_HOLD_LAYERS: Final = (*BODIES, INLINE, "blocks")
_SECTIONS: Final = ("input", "task", "lint", "train", "search")


class Completion(NamedTuple):
    """A word that can be written, what it is, and how much before the cursor it takes the place of."""

    label: str
    kind: CompletionKind
    detail: str
    text: str
    replaces: int  # letters before the cursor
    markdown: str = ""


class Signature(NamedTuple):
    """A call as it is written, with the argument that the cursor is in."""

    label: str
    arguments: tuple[str, ...]
    active: int | None


def complete(snapshot: Snapshot, line: int, column: int, options: Options = no_options) -> list[Completion]:
    """What can be written at a place (from 1), best first. The document may be one from before a mistake.

    `options` gives the options of training, by name.
    """
    lines = snapshot.lines
    before = lines[line - 1][: column - 1] if line <= len(lines) else ""
    document = _document(snapshot)
    typed = _WORD.search(before)
    length = len(typed[0]) if typed is not None else 0
    found = [each._replace(replaces=length) for each in _here(document, lines, line, before, options)]
    word = before[len(before) - length :].lower()
    return sorted(
        (each for each in found if _fits(word, each.label.lower())),
        key=lambda each: not each.label.lower().startswith(word),
    )


def _fits(word: str, label: str) -> bool:
    """Whether the letters of a word occur in a label in their order."""
    letters = iter(label)
    return all(letter in letters for letter in word)


def _document(snapshot: Snapshot) -> Document:
    if snapshot.source.document.main.body is None and snapshot.good is not None:
        return snapshot.good.source.document
    return snapshot.source.document


def _here(document: Document, lines: Sequence[str], line: int, before: str, options: Options) -> Iterator[Completion]:
    path = path_to(lines, line, before)
    block = _block(document, path)
    if path and path[0] in ("outputs", "aux_outputs"):
        body = document.main.body
        yield from _named(body.items if body is not None else ())
        return
    if path and path[0] in _SECTIONS:
        yield from _section(document, lines, path, before, options)
        return
    if _OPEN_READS.search(before) is not None and before.count("(") > before.count(")"):
        yield from _reads(block, line)
        return
    if (call := _OPEN_CALL.search(before)) is not None:
        yield from _arguments(document, call[1], call[2])
        yield from _values(document, block)
        return
    if not path:
        yield from _section(document, lines, path, before, options)
        return
    if path[0] == "variants" and ("{" in before or len(path) > 1):
        yield from (Completion(p.name, "parameter", "", f"{p.name}: ", 0) for p in document.main.params)
        return
    if path[0] == "blocks" and len(path) == 2 and re.fullmatch(r" *\w*", before):
        yield from _keys(keys_below(path, options), ())
        return
    own = path[2:] if path[0] == "blocks" else path
    if own and own[0] in ("params", "let"):
        if len(own) > 1:  # else a name of its own is written
            yield from _definition(document, block, own)
        return
    if any(key in _HOLD_LAYERS for key in path) and _ITEM_START.match(before):
        target = _long_form(lines, line, before)
        if re.search(r": +\w*\Z", before) and path[-1] != "type" and target is not None:
            yield from _words(target, path[-1])
            yield from _values(document, block)
        elif re.search(r"(- +|: +)\w*\Z", before):
            yield from _layers(document, block)
        elif path[-1] not in _HOLD_LAYERS:  # in the long form of a layer; below a body a name of its own is written
            for each in _arguments(document, target or "", ""):
                yield each._replace(text=f"{each.label}: ")
            yield from _keys(ITEM, ())
        return
    if re.search(r" (if|\*) [^:]*\Z", before):
        yield from _values(document, block)


def _keys(keys: Mapping[str, Key], given: Collection[str]) -> Iterator[Completion]:
    for name, key in keys.items():
        if name not in given:
            yield Completion(name, "key", key.meaning, f"{name}: ", 0, f"`{name}`: {key.markdown}")


def _section(
    document: Document, lines: Sequence[str], path: Sequence[str], before: str, options: Options
) -> Iterator[Completion]:
    """What may be written in the parts that are plain data: a word where a value begins, or else a key."""
    if path and _VALUE_BEGINS.search(before) is not None:
        key = keys_below(path[:-1], options).get(path[-1])
        for word, meaning in (key.words if key is not None else {}).items():
            detail = "by default" if key is not None and word == key.default else meaning or f"for {path[-1]}"
            yield Completion(word, "word", detail, word, 0)
    elif _KEY_BEGINS.search(before) is not None:
        if [*path] == ["search", "space"]:
            yield from (Completion(p.name, "parameter", "", f"{p.name}: ", 0) for p in document.main.params)
        # The document may be one from before a key was taken away.
        above = [key for key in document.places if any(line.startswith(f"{key}:") for line in lines)]
        given = above if not path else document.train_places if [*path] == ["train"] else ()
        yield from _keys(keys_below(path, options), given)


def _layers(document: Document, block: Block) -> Iterator[Completion]:
    for name, declared in document.blocks.items():
        needed = ", ".join(param.name for param in declared.params if param.default is None)
        yield Completion(
            name,
            "block",
            f"block({', '.join(p.name for p in declared.params)})",
            f"{name}({needed})" if needed else name,
            0,
        )
    layers = layer_names(document)
    for param in _params(document, block):
        if param.type == "layer" or (param.default is not None and param.default.word in layers):
            yield Completion(param.name, "parameter", "a layer", param.name, 0)
    for name, (op, _) in operators().items():
        required = any(op.fields()[key].required for key in argument_names(name)) or name in JOIN_NAMES
        yield Completion(name, "operator", summary(op), f"{name}(" if required else name, 0)


def _params(document: Document, block: Block) -> Iterable[Param]:
    """The parameters that a block sees: its own, which may hide those of the document, and these."""
    return {param.name: param for param in (*document.main.params, *block.params)}.values()


def _arguments(document: Document, target: str, written: str) -> Iterator[Completion]:
    taken = set(re.findall(r"(\w+) *=", written))
    value = re.search(r"(\w+) *= *\w*\Z", written)
    if value is not None:  # the value of an argument, and no other argument
        yield from _words(target, value[1])
        return
    if target in document.blocks:
        for param in document.blocks[target].params:
            if param.name not in taken:
                yield Completion(param.name, "argument", param.type or "", f"{param.name}=", 0)
    elif target in operators():
        op, _ = operators()[target]
        for key in argument_names(target):
            field = op.fields()[key]
            if key not in taken:
                default = "required" if field.required else f"by default {field.default}"
                yield Completion(key, "argument", default, f"{key}=", 0, argument_line(target, key))


def _words(target: str, argument: str) -> Iterator[Completion]:
    """The words that an argument of an operator takes."""
    field = operators()[target][0].fields().get(argument) if target in operators() else None
    for word in field.words if field is not None else ():
        yield Completion(word, "word", f"for {argument}", word, 0)


def _long_form(lines: Sequence[str], line: int, before: str) -> str | None:
    """What is called by the layer in long form around a place: the value of the `type` beside it."""
    if "{" in before:
        return found[1] if (found := _TYPE.search(before[before.rindex("{") :])) is not None else None

    def depth(text: str) -> int:
        return len(text) - len(text.lstrip(" -"))

    here = depth(before)
    above, below = ([] if before.lstrip().startswith("-") else lines[: line - 1][::-1]), lines[line:]
    for direction in (above, below):
        for text in direction:
            if depth(text) < here or (direction is below and text.lstrip().startswith("-")):
                break
            if depth(text) == here and (found := _TYPE.search(text)) is not None:
                return found[1]
            if text.lstrip().startswith("-"):
                break
    return None


def _values(document: Document, block: Block) -> Iterator[Completion]:
    for param in _params(document, block):
        yield Completion(param.name, "parameter", param.type or "", param.name, 0)
    for name in dict.fromkeys(name for name, _ in (*block.let, *document.main.let)):
        yield Completion(name, "parameter", "let", name, 0)
    for name in ("in_channels", "in_features"):
        yield Completion(name, "parameter", "of the block's input", name, 0)
    for name in FUNCTIONS:
        yield Completion(name, "function", "", f"{name}(", 0)


def _definition(document: Document, block: Block, path: Sequence[str]) -> Iterator[Completion]:
    """What a parameter or a local value may be: a type, a layer, or of the values those before it.

    Parameters are worked out before local values, and those of the document before its input is known.
    """
    if path[0] == "params" and block is not document.main:
        yield from (Completion(word, "word", "a type", word, 0) for word in TYPES)
    names = [*(param.name for param in block.params), *(name for name, _ in block.let)]
    unknown = {path[1], *(names[names.index(path[1]) :] if path[1] in names else ())}
    if path[0] == "params":
        unknown.update(name for name, _ in block.let)
        unknown.update(("in_channels", "in_features") if block is document.main else ())
    yield from (each for each in _values(document, block) if each.label not in unknown)
    yield from (Completion(word, "word", "", word, 0) for word in ("True", "False", "None"))
    for name in layer_names(document):
        op, _ = operators().get(name, (None, None))
        yield Completion(name, "operator" if op else "block", summary(op) if op else "block", name, 0)


def _reads(block: Block, line: int) -> Iterator[Completion]:
    """The names of the body around the line, before it."""
    body = _body_around(block.body, line) if block.body is not None else None
    yield from _named(item for item in (body.items if body is not None else ()) if item.place.line < line)
    for name in ("input", *(name for name, _ in block.inputs)):
        yield Completion(name, "layer", "what the block reads", name, 0)


def _named(items: Iterable[Item]) -> Iterator[Completion]:
    for item in items:
        if item.key is not None and not item.template:
            yield Completion(item.key, "layer", item.call.target if item.call else "", item.key, 0)


def _body_around(body: Body, line: int) -> Body:
    for item in body.items:
        if item.body is not None and item.body.items and item.body.place.line <= line <= item.body.place.span.end_line:
            return _body_around(item.body, line)
    return body


def _block(document: Document, path: Sequence[str]) -> Block:
    if len(path) > 1 and path[0] == "blocks" and path[1] in document.blocks:
        return document.blocks[path[1]]
    return document.main


def signature(snapshot: Snapshot, line: int, column: int) -> Signature | None:
    """The signature of the call around a place (from 1), or None where there is none."""
    lines = snapshot.lines
    before = lines[line - 1][: column - 1] if line <= len(lines) else ""
    match = _OPEN_CALL.search(before)
    document = _document(snapshot)
    if match is None:
        return None
    target, written = match[1], match[2]
    if target in operators():
        op, _ = operators()[target]
        arguments = [*dict.fromkeys((*op.positional, *argument_names(target)))]
        label = call_line(target)
    elif target in document.blocks:
        params = document.blocks[target].params
        arguments = [param.name for param in params]
        label = f"{target}({', '.join(arguments)})"
    else:
        return None
    last = re.split(r",(?![^(]*\))", written)
    named = re.match(r"\s*(\w+)\s*=", last[-1])
    active = arguments.index(named[1]) if named and named[1] in arguments else None if named else len(last) - 1
    return Signature(label, tuple(arguments), active if active is None or active < len(arguments) else None)
