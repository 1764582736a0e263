"""One function of the source while it is written: its lines, the names that it needs, and what sizes are called."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from cnnspec.codegen.expressions import UnsayableError, as_tree, is_numeric, is_product, parts, python
from cnnspec.codegen.known import Known, Pool, holds, running
from cnnspec.codegen.layout import Line, Node
from cnnspec.language.document import Block
from cnnspec.language.expand import Use
from cnnspec.language.functions import FUNCTIONS
from cnnspec.ops import operators

__all__ = ["BLIND", "Context", "File"]

T = TypeVar("T")
BLIND = "blind"
_SHORT = 3  # names, numbers and operations of an expression that reads as well as a number


class File(Protocol):
    """What a function needs of the file that it is in."""

    known: Known

    def layer(self, operator: str) -> str:
        """What the source calls an operator that is a value."""

    def block_name(self, block: str) -> str:
        """The class of a block that is a value."""

    def need(self, name: str) -> None:
        """Have a function or class of our own in the file."""

    def mark(self) -> object:
        """How far the file is."""

    def back_to(self, mark: Any) -> None:
        """Take back what has been added since."""


@dataclass
class Context:
    """`own` are the names of the block that the function is in; which of them it uses is in `used`."""

    file: File
    block: Block
    own: frozenset[str]
    is_main: bool
    used: dict[str, None] = field(default_factory=dict)
    lines: list[Line] = field(default_factory=list)
    depth: int = 2
    indices: tuple[str, ...] = ()  # the variables of the open loops
    pure: bool = False  # inside of an expression, where no statement can stand
    side_by_side: bool = False  # inside of branches, which are one expression
    versions: dict[str, int] = field(default_factory=dict)  # of variables that hold the channels of a value
    local: set[str] = field(default_factory=set)
    blind: bool = False  # whether only the results matter, and not what sizes are called

    @property
    def known(self) -> Known:
        """What is known of the network."""
        return self.file.known

    def inner(self) -> Context:
        """The function of a class that stands inside of this one's block."""
        return Context(self.file, self.block, self.own, self.is_main)

    def say(self, before: str, node: Node = "", after: str = "", note: str = "") -> None:
        """Add a statement."""
        if self.pure:
            raise UnsayableError("a statement inside of an expression")
        self.lines.append(Line(self.depth, before, node, after, note))

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """One level in."""
        self.depth += 1
        yield
        self.depth -= 1

    @contextmanager
    def loop(self, *, pure: bool = False) -> Iterator[str]:
        """A repetition, with the name of its variable."""
        before = self.indices, self.pure
        name = next(name for name in ("i", "j", "k", "n", "m", "i5", "i6", "i7", "i8") if self._is_free_index(name))
        self.indices, self.pure = (*self.indices, name), self.pure or pure
        yield name
        self.indices, self.pure = before

    def _is_free_index(self, name: str) -> bool:
        return name not in self.indices and name not in self.known.names.taken and not (name == "i" in self.used)

    def fresh(self, wanted: str) -> str:
        """A variable that nothing else is called."""
        name, number = wanted, 2
        while name in self.known.names.taken or name in self.local:
            name, number = f"{wanted}{number}", number + 1
        self.local.add(name)
        return name

    def dry(self, make: Callable[[], T]) -> T | None:
        """What would be made if sizes that have no expression were called `blind`; nothing happens."""
        found: list[T] = []

        def run() -> None:
            self.blind = True
            found.append(make())
            raise UnsayableError("only tried")

        before = self.blind
        self.attempt(run)
        self.blind = before
        return found[0] if found else None

    def attempt(self, make: Callable[[], T]) -> T | None:
        """What is made, or None where that cannot be said: then nothing has happened."""
        state = dict(self.used), len(self.lines), self.depth, self.indices, self.pure, dict(self.versions)
        names, mark = set(self.local), self.file.mark()
        try:
            return make()
        except UnsayableError:
            self.used, length, self.depth, self.indices, self.pure, self.versions = state
            self.local = names
            del self.lines[length:]
            self.file.back_to(mark)
            return None

    # Names and numbers

    def name(self, name: str) -> str:
        """What a name of the language is called here."""
        names = self.known.names
        if name.startswith("@"):
            return name[1:].partition(":")[0]
        if name == BLIND:
            return name
        if name == "i":
            if not self.indices:
                self.used[name] = None  # of a loop around the class
            return self.indices[-1] if self.indices else name
        if name in ("in_channels", "in_features") and self.is_main:
            return str(self.known.graph.input_shape[0 if name == "in_channels" else -1])
        if name in self.own:
            self.used[name] = None
            return names.values.get(name, name)
        if name in names.values and self.file_has(name):
            return names.values[name]
        if name in self.known.document.blocks:
            return self.file.block_name(name)
        if name in operators():
            return self.file.layer(name)
        if name.removeprefix("math.") not in FUNCTIONS:
            raise UnsayableError(f"{name} is not known here")
        self.file.need(name)
        return name

    def file_has(self, name: str) -> bool:
        """Whether a name is one of the document's own."""
        main = self.known.document.main
        found = any(param.name == name for param in main.params) or any(name == each for each, _ in main.let)
        if found:
            self.file.need(f"={name}")
        return found

    def text(self, tree: ast.expr) -> str:
        """An expression in the source."""
        return python(tree, self.name)

    def run(self, name: str) -> ast.Name:
        """The variable `name`, which has just been set to the channels of the value at hand."""
        self.versions[name] = self.versions.get(name, 0) + 1
        return running(name, self.versions[name])

    def continued(self, pool: Pool) -> str | None:
        """The variable that holds the channels of a value already, where there is one."""
        for tree in pool:
            if isinstance(tree, ast.Name) and tree.id.startswith("@"):
                name, _, version = tree.id[1:].partition(":")
                if self.versions.get(name) == int(version):
                    return name
        return None

    def choose(self, values: list[Any], uses: list[Use], pool: Pool, hints: Pool | None = None) -> ast.expr:
        """An expression that has these values, one for each copy: a short one, else the number, else any."""
        right = [tree for tree in [*(hints or []), *pool] if self.known.is_right(tree, values, uses, self.versions)]
        constant = len({repr(value) for value in values}) == 1
        fixed = [tree for tree in right if not holds(tree, "@")]
        if not constant and fixed:
            return min(fixed, key=parts)
        if fixed and (is_product(fixed[0]) or (parts(fixed[0]) <= _SHORT and not is_numeric(fixed[0]))):
            return fixed[0]
        if constant and (literal := as_tree(values[0])) is not None:
            return literal
        if right:
            return right[0]
        if values and all(isinstance(value, tuple) and len(value) == len(values[0]) for value in values):
            rows = [list(row) for row in zip(*values, strict=True)]
            return ast.Tuple([self.choose(row, uses, pool, hints) for row in rows], ast.Load())
        if self.blind:
            return ast.Name(BLIND, ast.Load())
        raise UnsayableError(f"no expression for {values[:4]}")

    def chosen(self, tree: ast.expr, values: list[Any], uses: list[Use]) -> bool:
        """Whether an expression has these values."""
        return self.known.is_right(tree, values, uses, self.versions)


def scope_names(block: Block) -> Mapping[str, None]:
    """The names that a block has of its own."""
    others = [f"{name}_channels" for name, _ in block.inputs[1:]]
    values = [*(param.name for param in block.params), *(name for name, _ in block.let)]
    return dict.fromkeys(["in_channels", "in_features", *others, *values])
