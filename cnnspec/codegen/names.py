"""What things are called in the written source: a spec's own names, but where Python or the source needs them."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Container, Iterable
from typing import Final

from cnnspec.codegen.helpers import helper_names
from cnnspec.language.document import Document
from cnnspec.language.functions import FUNCTIONS

__all__ = ["IMPORTS", "Names", "camel", "is_attribute"]

# What the source imports, by the name that it is used under.
IMPORTS: Final = {
    "math": "import math",
    "operator": "import operator",
    "Any": "from typing import Any",
    "torch": "import torch",
    "Tensor": "from torch import Tensor, nn",
    "nn": "from torch import Tensor, nn",
    "functional": "from torch.nn import functional",
}
_TAKEN: Final = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *FUNCTIONS, *IMPORTS, "self", "x"})


class Names:
    """The names of one file. Parameters and local values keep theirs in every block, with `_` behind where it must."""

    def __init__(self, document: Document) -> None:
        self.taken = {*_TAKEN, *helper_names()}
        self.classes: dict[str, str] = {}
        for block in document.blocks:
            self.classes[block] = self.new(block)
        own = (document.main, *document.blocks.values())
        spec = [name for block in own for name in (*(p.name for p in block.params), *(name for name, _ in block.let))]
        self.values: dict[str, str] = {}
        for name in dict.fromkeys(spec):
            self.values[name] = self.new(name)

    def new(self, wanted: str) -> str:
        """A name that nothing else in the file has: the wanted one, with `_` behind it where it must be."""
        name = wanted
        while name in self.taken:
            name += "_"
        self.taken.add(name)
        return name

    def new_class(self, wanted: str) -> str:
        """A name for a class that nothing else has: the wanted one, with a number behind it where it must be."""
        name, number = camel(wanted), 2
        while name in self.taken:
            name, number = f"{camel(wanted)}{number}", number + 1
        self.taken.add(name)
        return name


def camel(text: str) -> str:
    """A text as the name of a class: `unet_same` as `UnetSame`."""
    words = re.findall(r"[A-Za-z0-9]+", text)
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined and not joined[0].isdigit() else f"Net{joined}"


def is_attribute(key: str) -> bool:
    """Whether a child can be written `self.key`: no number, no word of Python's, and no name that a class changes."""
    return key.isidentifier() and not keyword.iskeyword(key) and not (key.startswith("__") and not key.endswith("__"))


def local(key: str, taken: Container[str]) -> str:
    """A variable for what a child gives."""
    name = re.sub(r"\W", "_", key)
    name = f"x{name}" if not name or name[0].isdigit() else name
    while name in taken or name in _TAKEN or name.startswith("__"):
        name = f"{name.lstrip('_') or 'x'}_"
    return name


def imports(used: Iterable[str]) -> list[str]:
    """The lines that import these names, in a formatter's order."""
    wanted = {name for name in used if name in IMPORTS}
    standard = [IMPORTS[name] for name in ("math", "operator", "Any") if name in wanted]
    torch = [IMPORTS["torch"]] if "torch" in wanted else []
    both = ", ".join(name for name in ("Tensor", "nn") if name in wanted)
    torch += [f"from torch import {both}"] if both else []
    torch += [IMPORTS["functional"]] if "functional" in wanted else []
    return [*standard, *([""] if standard and torch else []), *torch]
