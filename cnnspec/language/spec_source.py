"""A spec that has been read: `read_spec` reads a file, `Source.elaborate` works it out, `Source.outcome` what it can.

All errors of a file come at once, as one `SpecError`.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cnnspec.diagnostics import count
from cnnspec.errors import Diagnostic, Place, SpecError, UsageError
from cnnspec.files import check_regular, is_open_pipe
from cnnspec.graph import MAX_NODES, Graph, Purpose
from cnnspec.hints import did_you_mean
from cnnspec.language.document import NOTHING, Document, Expr
from cnnspec.language.elaborate import Outcome, elaborate
from cnnspec.language.expression import ExpressionError, parse_expression
from cnnspec.language.reader import read_document
from cnnspec.language.source import MAX_JSON_BYTES, read_text
from cnnspec.language.tree import SourceError, plain
from cnnspec.ops import Shape

__all__ = ["STDIN", "NoParameterError", "Source", "parse_setting", "read_file", "read_source", "read_spec"]

STDIN: Final = "-"
ALWAYS: Final = 50  # nodes that could be worked out while a spec of none is,
LETTERS_PER_NODE: Final = 100  # and while the names in so much of its text are checked

WEIGHTS: Final = {  # what people have in place of a spec
    **dict.fromkeys((".pt", ".pth", ".ckpt", ".pt2"), "a PyTorch file"),
    **dict.fromkeys((".h5", ".hdf5", ".keras"), "a Keras file"),
    ".safetensors": "a safetensors file",
}
_AS_IN_YAML: Final = {"true": "True", "false": "False", "null": "None"}


class NoParameterError(UsageError):
    """A parameter is set that the spec does not have: `name`, of the spec at `path`, which has those `known`."""

    def __init__(self, path: str, name: str, known: Sequence[str]) -> None:
        self.near, self.name = did_you_mean(name, known), name
        self.listed = f"there are: {', '.join(known)}" if known else "it has none"
        self.way = f"add `params: {{{name:.60}: …}}` to it, and write `{name:.60}` where the number stands"
        super().__init__(f"{path} has no parameter `{name:.60}`", hint=self.near or f"{self.listed}; {self.way}")


@dataclass(frozen=True)
class Source:
    """A spec that has been read: its document, its text, and where it came from."""

    document: Document
    text: str
    path: str
    json: bool
    findings: tuple[Diagnostic, ...] = ()

    def __repr__(self) -> str:
        return f"<Source {self.path}: {len(self.text):,} characters, {count(self.findings)}>"

    @property
    def stands_alone(self) -> bool:
        """Whether it is a network without a variant: a parameter may get its value from the variants only."""
        needs = any(param.default is None for param in self.document.main.params)
        return not (needs and self.document.variants)

    def elaborate(
        self,
        *,
        variant: str | None = None,
        params: Mapping[str, Any] | None = None,
        input_shape: Shape | None = None,
        max_nodes: int = MAX_NODES,
        purpose: Purpose = "train",
    ) -> Graph:
        """The graph that the spec declares with these parameters.

        For inference, layers that no output needs may refuse an `input_shape` that is not the declared one; the graph
        is then without all that only training has, and says why in `refused`. A text among `params` is an expression.
        Raises SpecError with everything that is wrong, and UsageError for a variant or parameter there is not, or a
        value that its parameter cannot hold.
        """
        outcome = self.outcome(
            variant=variant, params=params, input_shape=input_shape, max_nodes=max_nodes, purpose=purpose
        )
        if outcome.graph is None:
            raise SpecError(list(outcome.diagnostics), path=self.path, text=self.text)
        return outcome.graph

    def outcome(
        self,
        *,
        variant: str | None = None,
        params: Mapping[str, Any] | None = None,
        input_shape: Shape | None = None,
        max_nodes: int = MAX_NODES,
        purpose: Purpose = "train",
    ) -> Outcome:
        """What the spec comes to with these parameters: its graph, or all that is wrong and the nodes that are known.

        As `elaborate`, without raising SpecError. A text that is no document has no nodes.
        """
        if self.document is NOTHING:
            return Outcome(None, (), self.findings)
        self._check_settings(variant, params or {})
        settings = {name: _setting(name, value) for name, value in (params or {}).items()}
        if input_shape is not None and not _is_shape(input_shape):
            raise UsageError(f"{input_shape!r:.60} is no input shape", hint="one to four whole numbers: (3, 224, 224)")
        worked = elaborate(
            self.document,
            variant=variant,
            params=settings,
            input_shape=None if input_shape is None else tuple(input_shape),
            max_nodes=max_nodes,
            path=self.path,
            faulty=bool(self.findings),
            lenient=purpose == "inference" and input_shape is not None,
        )
        known = {diagnostic.place for diagnostic in self.findings}
        diagnostics = [
            *self.findings,
            *(diagnostic for diagnostic in worked.diagnostics if diagnostic.place not in known),
        ]
        graph = None if diagnostics else worked.graph
        work = ALWAYS + len(self.text) // LETTERS_PER_NODE + worked.work
        return Outcome(graph, worked.nodes, tuple(sorted(diagnostics, key=Diagnostic.order)), work, worked.uses)

    def _check_settings(self, variant: str | None, params: Mapping[str, Any]) -> None:
        variants = self.document.variants
        if variant is not None and variant not in variants:
            label = did_you_mean(variant, variants)
            listed = f"there are: {', '.join(variants)}" if variants else "it has none"
            raise UsageError(f"{self.path} has no variant `{variant}`", hint=label or listed)
        known = [param.name for param in self.document.main.params]
        for name in params:
            if name not in known:
                raise NoParameterError(self.path, name, known)

    def plain(self) -> Any:
        """The document as plain data, as it was written."""
        return plain(read_text(self.text.encode(), json=self.json).value)


def _setting(name: str, value: Any) -> Any:
    """A parameter's value as it is set from Python. Raises UsageError for what the language cannot say."""
    if isinstance(value, str):
        return parse_setting(f"{name}={value}")[1]
    items = value if isinstance(value, (list, tuple)) else [value]
    if isinstance(value, Expr) or all(isinstance(item, (int, float, type(None))) for item in items):
        return value
    raise UsageError(f"the parameter `{name}` cannot be {value!r:.60}", hint="numbers, lists, None, or an expression")


def _is_shape(value: Any) -> bool:
    good = isinstance(value, (list, tuple)) and 1 <= len(value) <= 4
    return good and all(type(size) is int and 1 <= size < 2**31 for size in value)


def read_file(path: str | os.PathLike[str], *, pipe: bool = False) -> bytes:
    """The bytes of a regular file, or of stdin for `-`. Raises UsageError for anything else.

    With `pipe` also what one gives that the shell has opened: once, for it is empty then. One byte more than any spec
    may have at most: `read_text` refuses what is longer.
    """
    if str(path) == STDIN:
        return sys.stdin.buffer.read(MAX_JSON_BYTES + 1)
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            kept = Path(path, "spec.yaml")  # of a run
            hint = f"name its spec: {kept}" if kept.is_file() else "name a .yaml or .json file"
            raise UsageError(f"{path} is a directory, not a spec", hint=hint)
        if Path(path).suffix.lower() == ".onnx":
            raise UsageError(f"{path} is an exported network, not a spec", hint=f"`cnnspec verify {path}` checks it")
        if kind := WEIGHTS.get(Path(path).suffix.lower()):
            hint = f"write the network as a spec, `cnnspec init net.yaml`; `--weights {path}` gives it the weights"
            raise UsageError(f"{path} is {kind}, which holds weights, and no spec", hint=hint)
        if not (pipe and is_open_pipe(path)):
            check_regular(path)
        with open(path, "rb") as file:
            return file.read(MAX_JSON_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:  # a NUL in the path
        raise UsageError(f"cannot read {str(path)!r}: {error}") from None


def read_source(path: str | os.PathLike[str], data: bytes | None = None) -> Source:
    """Read a spec, from stdin for `-`. JSON where the name ends in `.json`, YAML elsewhere.

    What is wrong with it is kept for `Source.outcome`. Raises UsageError where there is no such file.
    """
    shown = str(path)
    if data is None:
        data = read_file(path, pipe=True)
    json = Path(shown).suffix.lower() == ".json"
    try:
        value, text, twins = read_text(data, json=json)
    except SourceError as error:
        return Source(NOTHING, data.decode("utf-8-sig", "replace"), shown, json, error.found)
    document, findings = read_document(value)
    findings = [*twins, *findings]
    if document is None:
        return Source(NOTHING, text, shown, json, tuple(sorted(findings, key=Diagnostic.order)))
    return Source(document, text, shown, json, tuple(findings))


def read_spec(path: str | os.PathLike[str], data: bytes | None = None) -> Source:
    """As `read_source`. Raises SpecError for a text that is no document, and UsageError."""
    source = read_source(path, data)
    if source.document is NOTHING:
        raise SpecError(list(source.findings), path=source.path, text=source.text)
    return source


def parse_setting(text: str) -> tuple[str, Expr]:
    """`name=value` of a `--set` flag. Raises UsageError."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"`{text}` is no setting", hint="write `--set width=128`")
    value = _AS_IN_YAML.get(value.strip(), value)
    try:
        tree = parse_expression(value)
    except ExpressionError as error:
        raise UsageError(f"the value of `{name.strip()}`: {error.message}", hint="write `--set width=128`") from None
    return name.strip(), Expr(tree, Place(1, 1, len(value)), value)
