"""The section `search:` of a spec: what may vary, what a network may cost, and how long is looked for the best one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from cnnspec.errors import Diagnostic, SpecError, UsageError
from cnnspec.hints import did_you_mean
from cnnspec.language.document import OF_TRAINING, Choice, Document, Domain, Expr, SearchSection
from cnnspec.language.expression import MAX_NUMBER
from cnnspec.language.figures import FIGURES, MEASURED, parse_limit
from cnnspec.language.read_parts import Parts, TooManyFaults
from cnnspec.language.results import is_number
from cnnspec.language.source import read_text
from cnnspec.language.tree import ListValue, MapValue, Scalar, SourceError, Value, plain
from cnnspec.language.values import Given, Log, Values

__all__ = [
    "COSTS", "KINDS", "SAMPLERS", "SEARCH_KEYS", "check_space", "measured", "read_search", "read_search_text",
]  # fmt: skip

MOST_CHOICES: Final = 1000  # of one domain
MOST_TRIALS: Final = 100_000
KINDS: Final[dict[str, str]] = {
    "int": "whole numbers from a first to a last one, by `step`",
    "float": "numbers from a first to a last one, by `step` where it is given",
    "log": "numbers whose order of magnitude varies evenly, from a first above 0 to a last one",
}
SEARCH_KEYS: Final[dict[str, str]] = {
    "space": "what varies: parameters of the spec, and options of training as `train.lr`",
    "limits": "what a network may cost, and what it has to see",
    "trials": "how many networks are trained",
    "epochs": "the most epochs of each",
    "cost": "the figure that the front weighs against the score",
    "prune": "whether trials that fall behind end early",
    "sampler": "how candidates are drawn: tpe learns from the trials, random does not",
}
COSTS: Final = tuple(name for name in FIGURES if name != "field")
SAMPLERS: Final = ("tpe", "random")


def read_search(value: Value, parts: Parts) -> SearchSection | None:
    """The section that a value says. What is wrong is kept in `parts`, and is as if it were not there."""
    if not isinstance(value, MapValue):
        parts.error("E120", "`search` is a mapping: `search: {space: {…}, limits: {…}}`", value.place)
        return None
    value = parts.known_keys(value, tuple(SEARCH_KEYS), "`search`")
    if value.get("space") is None:
        help_ = "name what varies: `space: {width: {int: [4, 32]}, kernel: [3, 5]}`"
        parts.error("E120", "`search` has no `space`", value.place, help=help_)
    space = {}
    for key, item in parts.entries(value.get("space"), "space"):
        if (domain := _domain(key, item, parts)) is not None:
            space[key.value] = domain
    limits = {}
    places = {key.value: key.place for key, _ in value.entries}
    for key, item in parts.entries(value.get("limits"), "limits"):
        places[f"limits.{key.value}"] = key.place
        try:
            limits[key.value] = parse_limit(key.value, plain(item))
        except UsageError as error:
            place = key.place if key.value not in FIGURES else item.place
            label = did_you_mean(key.value, FIGURES) if key.value not in FIGURES else None
            parts.error("E120", error.message, place, label, None if label else error.hint)
    return SearchSection(
        space,
        limits,
        trials=_whole(value, "trials", MOST_TRIALS, parts) or SearchSection().trials,
        epochs=_whole(value, "epochs", 2**31 - 1, parts),
        cost=_word(value, "cost", COSTS, parts),
        prune=_flag(value, "prune", parts),
        sampler=_word(value, "sampler", SAMPLERS, parts),
        plain=plain(value),
        places=places,
    )


def _whole(section: MapValue, key: str, most: int, parts: Parts) -> int | None:
    value = section.get(key)
    if value is None:
        return None
    number = plain(value)
    if type(number) is int and 1 <= number <= most:
        return number
    parts.error("E120", f"`{key}` is a whole number from 1 to {most:,}", value.place)
    return None


def _word(section: MapValue, key: str, words: tuple[str, ...], parts: Parts) -> str:
    value, default = section.get(key), str(SearchSection._field_defaults[key])
    word = default if value is None else plain(value)
    if word in words:
        return str(word)
    assert value is not None
    label = did_you_mean(word, words) if isinstance(word, str) else None
    parts.error("E120", f"`{key}` is one of {', '.join(words)}", value.place, label)
    return default


def _flag(section: MapValue, key: str, parts: Parts) -> bool:
    value = section.get(key)
    if value is None or isinstance(plain(value), bool):
        return value is None or bool(plain(value))
    parts.error("E120", f"`{key}` is true or false", value.place)
    return True


def _domain(key: Scalar, value: Value, parts: Parts) -> Domain | None:
    """The domain of a name, or None after reporting what is wrong with it."""
    before = len(parts.found)
    domain = _range(key, value, parts) if isinstance(value, MapValue) else _choices(key, value, parts)
    return domain if len(parts.found) == before else None


def _choices(key: Scalar, value: Value, parts: Parts) -> Domain | None:
    if not isinstance(value, ListValue) or not value.items:
        message = f"`{key.value:.60}` has no values to choose from"
        help_ = "write a list, `[3, 5, 7]`, or a range, `{int: [4, 32]}` or `{log: [0.001, 0.1]}`"
        parts.error("E120", message, value.place, help=help_)
        return None
    if len(value.items) > MOST_CHOICES:
        parts.error("E120", f"`{key.value:.60}` has more than {MOST_CHOICES:,} choices", value.place)
        return None
    choices: list[Choice] = []
    for item in value.items:
        written = plain(item)
        choice = str(written) if isinstance(written, (list, dict)) else written
        if any(choice == other and type(choice) is type(other) for other in choices):
            parts.error("E120", f"the choice `{choice}` of `{key.value:.60}` stands twice", item.place)
        choices.append(choice)
    as_texts = [  # as `--set` would be given them
        Scalar(choice, item.place, item.place, choice)
        if isinstance(item, ListValue) and isinstance(choice, str)
        else item
        for choice, item in zip(choices, value.items, strict=True)
    ]
    written_ = tuple((parts.expr(item), item.place) for item in as_texts)
    return Domain(key.value, key.place, "choices", tuple(choices), None, written_)


def _range(key: Scalar, value: MapValue, parts: Parts) -> Domain | None:
    kinds = [name for name, _ in value.entries if name.value in KINDS]
    unknown = next((name for name, _ in value.entries if name.value not in (*KINDS, "step")), None)
    if unknown is not None or len(kinds) != 1:
        place = value.place if unknown is None else unknown.place
        label = None if unknown is None else did_you_mean(unknown.value, (*KINDS, "step"))
        message = f"the range of `{key.value:.60}` is one of {', '.join(f'`{kind}`' for kind in KINDS)}"
        parts.error("E120", message, place, label, "`{int: [4, 32], step: 4}`, `{float: [0, 0.5]}`, `{log: [1e-3, 1]}`")
        return None
    kind = kinds[0].value
    assert kind in ("int", "float", "log")
    ends = value.get(kind)
    assert ends is not None
    numbers = plain(ends)
    wanted = int if kind == "int" else (int, float)
    if not (
        isinstance(numbers, list)
        and len(numbers) == 2
        and all(is_number(n) and isinstance(n, wanted) and math.isfinite(n) and abs(n) <= MAX_NUMBER for n in numbers)
    ):
        what = "whole numbers" if kind == "int" else "numbers"
        parts.error("E120", f"`{kind}` takes the first and the last value, two {what}", ends.place)
        return None
    first, last = numbers
    if first > last:
        parts.error("E120", f"the range of `{key.value:.60}` ends before it begins", ends.place)
    if kind == "log" and first <= 0:
        parts.error("E120", "a range by order of magnitude begins above 0", ends.place)
    step = _step(value, kind, first, last, parts)
    kept = (int(first), int(last)) if kind == "int" else (float(first), float(last))
    items = ends.items if isinstance(ends, ListValue) else []
    return Domain(key.value, key.place, kind, kept, step, tuple((parts.expr(item), item.place) for item in items))


def _step(value: MapValue, kind: str, first: float, last: float, parts: Parts) -> float | None:
    written = value.get("step")
    step = 1 if written is None and kind == "int" else None if written is None else plain(written)
    if step is None or written is None:
        return step
    if kind == "log":
        parts.error("E120", "a range by order of magnitude has no `step`", written.place)
        return None
    good = is_number(step) and math.isfinite(step) and step > 0 and (kind == "float" or isinstance(step, int))
    if not good:
        what = "whole number" if kind == "int" else "number"
        parts.error("E120", f"`step` is a {what} above 0", written.place)
        return None
    steps = math.floor((last - first) / step + 1e-9)
    end = first + steps * step
    if last >= first and abs(end - last) > 1e-9 * max(1.0, abs(last)):
        help_ = f"end it at {end:g} or {end + step:g}"
        parts.error(
            "E120", f"from {first:g} by {step:g} the range does not come to {last:g}", written.place, help=help_
        )
    return float(step) if kind == "float" else int(step)


def check_space(section: SearchSection, document: Document) -> Iterator[Diagnostic]:
    """What a document refuses of a space: names that it has no parameter for, and values that they cannot have.

    Options of training are for those to look at who know them.
    """
    known = [param.name for param in document.main.params]
    for domain in section.space.values():
        if domain.option is not None:
            continue
        if domain.name not in known:
            listed = ", ".join([*known, f"{OF_TRAINING}lr and the like"])
            label = did_you_mean(domain.name, known)
            message = f"`space` names `{domain.name:.60}`, which is no parameter of the spec"
            yield Diagnostic("E120", message, domain.place, label, help=None if label else f"there are: {listed}")
            continue
        for expr, place in domain.written:
            if fault := _refused(document, domain.name, expr):
                yield Diagnostic("E120", fault.message, place, help=fault.hint)


def _refused(document: Document, name: str, expr: Expr) -> UsageError | None:
    """Why a parameter cannot have a value, if so."""
    values = Values(document, Log(), 1)
    outside = expr.value if not (expr.word is not None or isinstance(expr.value, list)) else expr
    try:
        values.bind_params(document.main, {name: Given(outside, None)}, values.top_frame())
    except UsageError as error:
        return error
    return None


def read_search_text(data: bytes, path: str, document: Document) -> SearchSection:
    """The section that a file of its own holds, for a spec: what stands below `search:`, or that key with it.

    Raises SpecError with everything that is wrong with it.
    """
    try:
        value, text, twins = read_text(data, json=path.lower().endswith(".json"))
    except SourceError as error:
        raise SpecError(list(error.found), path=path, text=data.decode("utf-8-sig", "replace")) from None
    parts = Parts()
    parts.found += twins
    inner = value.get("search") if isinstance(value, MapValue) else None
    section = None
    try:
        section = read_search(inner or value, parts)
        if section is not None:
            parts.found += check_space(section, document)
    except TooManyFaults:
        pass
    if parts.found or section is None:
        raise SpecError(sorted(parts.found, key=Diagnostic.order), path=path, text=text)
    return section


def measured(section: SearchSection) -> bool:
    """Whether a limit is on what has to be measured."""
    return any(name in MEASURED for name in section.limits) or section.cost in MEASURED
