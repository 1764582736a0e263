"""The parts of a spec that are plain data, header, `train` and `search`: which keys they have, and what these mean."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from cnnspec.codes import codes
from cnnspec.intake import FITS, INPUT_KEYS
from cnnspec.language.document import SearchSection
from cnnspec.language.figures import FIGURES
from cnnspec.language.read_header import TASK_KEYS, WARNING
from cnnspec.language.search_section import COSTS, KINDS, SAMPLERS, SEARCH_KEYS
from cnnspec.places import Place
from cnnspec.tasks import TASKS

__all__ = ["ITEM", "Key", "Options", "keys_below", "no_options", "path_to", "section_key"]


class Key(NamedTuple):
    """What a key means, its default as a spec would write it, and the words that it takes with what each means."""

    meaning: str
    default: str = ""
    words: Mapping[str, str] = {}

    @property
    def markdown(self) -> str:
        """All of it, for people."""
        parts = [self.meaning]
        if self.words:
            told = (f"`{word}`: {meaning}" if meaning else f"`{word}`" for word, meaning in self.words.items())
            parts.append(
                "takes" + (":\n\n- " + "\n- ".join(told) if any(self.words.values()) else f" {', '.join(told)}")
            )
        if self.default:
            parts.append(f"by default `{self.default}`")
        return "\n\n".join(parts)


# The options of training: the packages that know them stand above this one. They are asked for where they are needed.
Options: TypeAlias = Callable[[], Mapping[str, Key]]


def no_options() -> Mapping[str, Key]:
    """For those to whom the options of training are not known."""
    return {}


_TASKS: Final[dict[str, str]] = {name: f"taught {task.taught}" for name, task in TASKS.items()}
_BODIES: Final = {
    "layers": Key("layers, one after the other"),
    "add": Key("layers side by side, and their sum"),
    "mul": Key("layers side by side, and their product"),
    "concat": Key("layers side by side, with the channels of one behind those of the other"),
}
_BLOCK: Final[dict[str, Key]] = {
    "params": Key("what a call gives: types, or defaults"),
    "let": Key("local values, worked out of parameters"),
    "inputs": Key("names for what a call reads; the first is always `input`"),
    **_BODIES,
}
ITEM: Final[dict[str, Key]] = {
    "type": Key("an operator or a block; its arguments are keys beside it"),
    **_BODIES,
    "inline": Key("layers that take their places in the list around them"),
    "in": Key("the names of the earlier layers that it reads"),
    "repeat": Key("how many copies there are; `i` counts them from 0"),
    "when": Key("a condition; where it is false the layer is absent"),
}
_TOP: Final[dict[str, Key]] = {
    "cnnspec": Key("the version of the language: 1"),
    "name": Key("what the network is called", "network"),
    "description": Key("a text about it"),
    "reference": Key("where it was published"),
    "classes": Key("the names of the classes, a list of texts"),
    "task": Key("what the network is for; followed from its output where that says it", words=_TASKS),
    "outputs": Key("names of the layers that are outputs; the last one where nothing is said"),
    "aux_outputs": Key("names of heads that run in training only"),
    "train": Key("how `cnnspec train` trains it, where no flag says otherwise"),
    "lint": Key("warnings that are not wanted: `{ignore: [W305]}`"),
    "input": Key("the shape of an input, channels first: `[3, 224, 224]`; or a mapping with `shape`, `mean`, `std`, …"),
    "variants": Key("names for settings of `params`: other networks of the same family"),
    "blocks": Key("parts that are called like layers"),
    "params": Key("values that the spec is written with, and that `--set` and variants change"),
    "let": Key("local values, worked out of parameters"),
    **_BODIES,
    "search": Key("what may vary in a search for the best network, and what it may cost"),
}
_INPUT: Final[dict[str, Key]] = {
    "shape": Key("channels, and up to three axes: `[3, 224, 224]`"),
    "mean": Key("subtracted from each channel: a list of numbers, or a parameter that holds them"),
    "std": Key("by which each channel is then divided: a list of numbers, or a parameter that holds them"),
    **{key: Key(meaning) for key, meaning in INPUT_KEYS.items()},
}
_INPUT["fit"] = _INPUT["fit"]._replace(default="stretch", words=dict.fromkeys(FITS, ""))
_TASK: Final = {
    "type": Key("the task", words=_TASKS),
    **{key: Key(f"{meaning} ({task})") for task, keys in TASK_KEYS.items() for key, meaning in keys.items()},
}
_FLAG: Final = {"true": "", "false": ""}
_SEARCH: Final = {
    key: Key(
        meaning,
        str(default).lower() if isinstance(default := SearchSection._field_defaults.get(key), (int, str)) else "",
        {"cost": dict.fromkeys(COSTS, ""), "sampler": dict.fromkeys(SAMPLERS, ""), "prune": _FLAG}.get(key, {}),
    )
    for key, meaning in SEARCH_KEYS.items()
}
_RANGE: Final = {key: Key(told) for key, told in {**KINDS, "step": "how far apart the values are"}.items()}
_LIMITS: Final = {name: Key(figure.meaning) for name, figure in FIGURES.items()}


def keys_below(path: Sequence[str], options: Options) -> Mapping[str, Key]:
    """The keys that may stand below others, outermost first; none below those whose keys are names of the spec's own.

    The values of `search.space` are parameters, for which the caller knows the names, and options as `train.lr`.
    """
    match path:
        case []:
            return _TOP
        case ["blocks", _]:
            return _BLOCK
        case ["input"]:
            return _INPUT
        case ["task"]:
            return _TASK
        case ["lint"]:
            return {"ignore": Key("the codes of warnings that are not wanted", words=_warnings())}
        case ["train"]:
            return options()
        case ["search"]:
            return _SEARCH
        case ["search", "space"]:
            return {f"train.{name}": key for name, key in options().items()}
        case ["search", "space", _]:
            return _RANGE
        case ["search", "limits"]:
            return _LIMITS
    return {}


def _warnings() -> dict[str, str]:
    return {code: title for code, title in codes().items() if re.fullmatch(WARNING, code)}


_BEGUN: Final = re.compile(r"( *)(?:- +)?[\"']?([\w.-]+)[\"']?:(?= |\Z)")
_IN_BRACES: Final = re.compile(r"\s*[\"']?([\w.-]+)[\"']?:(?: .*)?\Z")


def path_to(lines: Sequence[str], line: int, before: str) -> list[str]:
    """The keys that a place lies below, outermost first: by indentation, then by braces in the line itself.

    `before` is the line up to the place. A key whose value is being written there is the last one.
    """
    indent = len(before) - len(before.lstrip())
    dashed = before.lstrip().startswith("-")
    path: list[str] = []
    own = _BEGUN.match(before)
    if own is not None:
        path.append(own[2])
    for number in range(line - 1, 0, -1):
        text = lines[number - 1]
        match = _BEGUN.match(text)
        if match is None:
            continue
        here = len(match[1])
        if here < indent or (dashed and here == indent and not text.lstrip().startswith("-")):
            path.append(match[2])
            indent, dashed = here, False
        if indent == 0:
            break
    return [*path[::-1], *_in_braces(before)]


def _in_braces(before: str) -> list[str]:
    """The keys in the braces that are open at the end of a text."""
    opened: list[str] = []  # what stands in each since its last comma
    for letter in before:
        if letter in "{[(":
            opened.append("")
        elif letter in "}])" and opened:
            opened.pop()
        elif opened:
            opened[-1] = "" if letter == "," else opened[-1] + letter
    return [match[1] for text in opened if (match := _IN_BRACES.match(text)) is not None]


def section_key(lines: Sequence[str], line: int, column: int, options: Options) -> tuple[Place, str] | None:
    """The key of a section at a place (from 1), and what it means as Markdown; None where there is no such key."""
    text = lines[line - 1] if line <= len(lines) else ""
    for match in re.finditer(r"(?<![\w.-])([A-Za-z_][\w.-]*)[\"']?:(?= |\Z)", text):
        if match.start(1) < column <= match.end(1) + 1:
            *above, name = path_to(lines, line, text[: match.end()]) or [""]  # behind what begins no key
            key = keys_below(above, options).get(name)
            if key is not None:
                title = " of ".join(f"`{part}`" for part in (name, *above[::-1][:1]))
                return Place(line, match.start(1) + 1, len(name)), f"{title}: {key.markdown}"
    return None
