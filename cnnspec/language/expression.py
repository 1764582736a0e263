"""Safe arithmetic and call lines, by a whitelist over Python's syntax tree. Nothing is ever executed.

Two texts are understood: an expression (`in_channels * 4`) and a line, `Call(args)(reads) * n if condition`.
Errors carry the offset and length of the part at fault.
"""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from typing import Final, NamedTuple

from cnnspec.language.functions import FUNCTIONS

__all__ = [
    "MAX_LENGTH",
    "MAX_NUMBER",
    "Arg",
    "ExpressionError",
    "Line",
    "QuotedWordError",
    "fault",
    "parse_expression",
    "parse_line",
    "weight",
]

MAX_LENGTH: Final = 1000
MAX_BRACKETS: Final = 24
MAX_DEPTH: Final = 40
MAX_NUMBER: Final = 2**63

# Python reads `1if` as two words and warns; what it warns of is refused here, because to silence a warning is to change
# a list that the whole process has, other threads too.
_NUMBER_IN_WORD: Final = re.compile(r"(?<!\w)[0-9]\w*?(?:\.\w*?)?(and|else|for|if|in|is|not|or)")


class ExpressionError(Exception):
    """A fault in an expression: the bare fact, and where in the text."""

    def __init__(self, message: str, offset: int = 0, length: int = 1, help: str | None = None) -> None:
        super().__init__(message)
        self.message, self.offset, self.length, self.help = message, offset, length, help


class QuotedWordError(ExpressionError):
    """A text in quotes: no expression, but perhaps a word that a field takes."""


class Arg(NamedTuple):
    """An argument of a call: its name (None: by position), its value, and where it stands in the line."""

    name: str | None
    value: ast.expr
    offset: int


class Line(NamedTuple):
    """A parsed line. Offsets count characters from the start of the text."""

    target: str
    args: tuple[Arg, ...]
    reads: tuple[tuple[str, int], ...] | None
    repeat: ast.expr | None
    when: ast.expr | None
    called: bool  # whether brackets were written


def fault(
    node: ast.AST, message: str, help: str | None = None, kind: type[ExpressionError] = ExpressionError
) -> ExpressionError:
    """The error that `node` is wrong, with its place."""
    return kind(message, getattr(node, "col_offset", 0), _width(node), help)


def _width(node: ast.AST) -> int:
    start, end = getattr(node, "col_offset", 0), getattr(node, "end_col_offset", None)
    return max(1, end - start) if end is not None else 1


def _parse(text: str, shift: int = 0) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"an expression of {len(text)} characters is too long ({MAX_LENGTH} at most)")
    for offset, letter in enumerate(text):
        if not " " <= letter <= "~" or letter in "#\\":  # Python would take a comment, or an escape
            raise ExpressionError(f"the character {letter!r} (U+{ord(letter):04X}) has no place here", offset + shift)
    depth = 0
    for offset, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth > MAX_BRACKETS:
            raise ExpressionError(f"nested deeper than {MAX_BRACKETS} brackets", offset + shift)
    if touching := _NUMBER_IN_WORD.search(text):
        word, offset = touching[1], touching.start(1)
        raise ExpressionError(f"a blank is missing before `{word}`", offset + shift, len(word))
    # Leading blanks are an indentation error to Python; spaces of our own keep the offsets right.
    stripped = text.lstrip()
    lead = len(text) - len(stripped) + shift
    try:
        tree = ast.parse(stripped, mode="eval").body
    except SyntaxError as error:
        offset = min((error.offset or 1) - 1, max(0, len(stripped) - 1))
        reason = error.msg.split(". Perhaps")[0].replace("invalid syntax", "this is no expression")
        hint = "a comma may be missing" if "comma" in error.msg else None
        raise ExpressionError(reason, lead + offset, help=hint) from None
    except (ValueError, RecursionError, MemoryError):
        raise ExpressionError("too deeply nested to read", lead) from None
    if lead:
        for node in ast.walk(tree):
            if isinstance(node, (ast.expr, ast.keyword)):
                node.col_offset += lead
                node.end_col_offset = (node.end_col_offset or 0) + lead
    return tree


@lru_cache(maxsize=4096)
def parse_expression(text: str) -> ast.expr:
    """The syntax tree of an expression, checked against the whitelist. Raises ExpressionError."""
    tree = _parse(text)
    _check(tree, 0)
    return tree


@lru_cache(maxsize=4096)
def parse_line(text: str) -> Line:
    """`Call(args)(reads) * n if condition`, of which only the call's name is required. Raises ExpressionError."""
    split = _find_if(text)
    head = text if split is None else text[:split]
    when = None
    if split is not None:
        if not text[split + 4 :].strip():
            raise ExpressionError("`if` wants a condition", split + 1, 2)
        when = _parse(text[split + 4 :], split + 4)
        _check(when, 0)
    node = _parse(head)
    repeat: ast.expr | None = None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if isinstance(node.left, ast.BinOp):
            raise fault(node, "a line has one `* n`", "put a product in brackets: `Conv2d(8, 3) * (2 * n)`")
        repeat = node.right
        _check(repeat, 0)
        node = node.left
    reads = None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Call):
        if node.keywords:
            raise fault(node.keywords[0], "reads are names of nodes, without `=`")
        reads = tuple(_read(arg) for arg in node.args)
        node = node.func
    if isinstance(node, ast.Name):
        return Line(node.id, (), reads, repeat, when, called=False)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        dotted = node.func if isinstance(node, ast.Call) else node
        hint = f"names stand without a module: `{dotted.attr}`" if isinstance(dotted, ast.Attribute) else None
        raise fault(node, "a layer is written `Name` or `Name(arguments)`", hint)
    args = [Arg(None, arg, arg.col_offset) for arg in node.args]
    for keyword in node.keywords:
        if keyword.arg is None:
            raise fault(keyword, "`**` has no place here")
        args.append(Arg(keyword.arg, keyword.value, keyword.col_offset))
    for arg in args:
        if isinstance(arg.value, ast.Starred):
            raise fault(arg.value, "`*` has no place here")
        if not (isinstance(arg.value, ast.Constant) and isinstance(arg.value.value, str)):
            _check(arg.value, 0)  # a quoted word is refused later, unless the field takes words
    return Line(node.func.id, tuple(args), reads, repeat, when, called=True)


NAMED_ONLY: Final = "only named children can be read: use a mapping"  # said of a number where a name is wanted


def _read(node: ast.expr) -> tuple[str, int]:
    if not isinstance(node, ast.Name):
        raise fault(node, NAMED_ONLY if isinstance(node, ast.Constant) else "reads are names of earlier nodes")
    return node.id, node.col_offset


def _find_if(text: str) -> int | None:
    """Where the line's own ` if ` starts: the first one outside brackets."""
    depth = 0
    for offset, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth == 0 and letter == " " and (text.startswith(" if ", offset) or text[offset:].rstrip() == " if"):
            return offset
    return None


# The whitelist ------------------------------------------------------------------------------------------------------

_NODES: Final = (
    ast.Constant,
    ast.Name,
    ast.List,
    ast.Tuple,
    ast.UnaryOp,
    ast.BinOp,
    ast.Compare,
    ast.BoolOp,
    ast.IfExp,
    ast.Subscript,
    ast.Slice,
    ast.Call,
    ast.keyword,
)
_ARITHMETIC: Final = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_ORDER: Final = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_OPERATORS: Final = (*_ARITHMETIC, *_ORDER, ast.And, ast.Or, ast.Not, ast.USub, ast.UAdd, ast.Load)
_WHY: Final[dict[type[ast.AST], str]] = {
    ast.Attribute: "attributes are not part of the language",
    ast.Pow: "`**` is not part of the language",
    ast.JoinedStr: "strings are not part of the language",
    ast.Lambda: "functions are not part of the language",
    ast.Dict: "a mapping has no place in an expression",
}


def _check(node: ast.AST, depth: int) -> None:
    """Raise unless every part of the tree is one that `evaluate` knows."""
    if depth > MAX_DEPTH:
        raise fault(node, "too deeply nested to read")
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            raise fault(node, "strings are not part of the language", "write words without quotes", QuotedWordError)
        if not isinstance(node.value, (bool, int, float, type(None))):
            raise fault(node, "this constant is not part of the language")
        if isinstance(node.value, (int, float)) and not node.value <= MAX_NUMBER:
            raise fault(node, "the number is too large (2^63 at most)")
        return
    if isinstance(node, ast.Call):
        if not (isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS):
            name = node.func.id if isinstance(node.func, ast.Name) else "this"
            raise fault(node, f"`{name}` is no function of the language", f"there are: {', '.join(FUNCTIONS)}")
        for word in node.keywords:
            if word.arg not in FUNCTIONS[node.func.id].arguments:
                raise fault(word, f"{node.func.id} has no argument `{word.arg or '**'}`")
        children: list[ast.AST] = [*node.args, *node.keywords]
    elif isinstance(node, _NODES):
        children = [child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.expr_context)]
    elif isinstance(node, _OPERATORS):
        return
    else:
        kind = QuotedWordError if isinstance(node, ast.JoinedStr) else ExpressionError
        raise fault(node, _WHY.get(type(node), "this is not part of the language"), kind=kind)
    if isinstance(node, ast.BinOp) and not isinstance(node.op, _ARITHMETIC):
        raise fault(node, _WHY.get(type(node.op), "this operator is not part of the language"))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        raise fault(node, "this operator is not part of the language")
    if isinstance(node, ast.Compare) and not all(isinstance(op, _ORDER) for op in node.ops):
        raise fault(node, "`in` and `is` are not part of the language", "compare with `==`")
    for child in children:
        _check(child, depth + 1)


_DEAR: Final = (ast.Call, ast.Compare, ast.Slice)  # they may look at every item of a list


def weight(tree: ast.AST) -> int:
    """How much work it is to evaluate a tree, roughly: its parts, with those that walk lists counted 100 times."""
    if isinstance(tree, (ast.Constant, ast.Name)):
        return 1
    return sum(100 if isinstance(node, _DEAR) else 1 for node in ast.walk(tree))
