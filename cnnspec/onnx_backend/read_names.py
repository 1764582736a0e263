"""What the nodes of an ONNX file are called here: after scopes in their metadata, in their names, or in their tensors'.

torch's newer exporter tells the modules that a node ran in; its older one and others write their path into the name of
the node; Caffe2 only named its tensors. A file without any of that gets its names in the end (`read_cuts.py`).
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Final

__all__ = ["Names"]

_SCOPES: Final = "pkg.torch.onnx.name_scopes"
_CLASSES: Final = "pkg.torch.onnx.class_hierarchy"
_RULES: Final = "pkg.onnxscript.rewriter.rule_name"
_LONGEST: Final = 10_000  # characters of a list of scopes
_LEAVES: Final = frozenset({"weight", "bias", "running_mean", "running_var"})
_TENSOR: Final = re.compile(
    r"([._/](weights?|w|b|kernel|bias(es)?|gamma|beta|scale|s|rm|riv|mean|var|moving_mean|moving_variance"
    r"|running_mean|running_var|bn_\w+))?(_0)?(:0)?$"
)


class Names:
    """The names of one file."""

    def __init__(self, nodes: Sequence[Any], tensors: Iterable[str]) -> None:
        """`nodes` stay alive as long as this."""
        self.classes: dict[str, str] = {}
        self._scopes: dict[int, str] = {}  # of each node, by its place in memory
        self._modules: set[int] = set()  # nodes that are all that their scope does
        self._users = Counter(name for node in nodes for name in set(node.input))
        if not self._read_metadata(nodes):
            self._read_paths(nodes)
        self._infer_scopes(nodes)
        keys = [*tensors, *(name for node in nodes for name in node.output)]
        self._prefix = _folder(key for key in keys if _TENSOR.search(key) and "/" in key)

    @property
    def has_scopes(self) -> bool:
        """Whether the nodes say where they ran."""
        return bool(self._scopes)

    def _read_metadata(self, nodes: Sequence[Any]) -> bool:
        for node in nodes:
            told = {entry.key: entry.value for entry in node.metadata_props if entry.key in (_SCOPES, _CLASSES)}
            scopes, classes = _listed(told.get(_SCOPES)), _listed(told.get(_CLASSES))
            if not scopes:
                continue
            self._scopes[id(node)] = scopes[-2] if len(scopes) > 1 else ""
            if len(classes) != len(scopes):
                continue
            self.classes.update(
                (path, kind.rpartition(".")[2]) for path, kind in zip(scopes[:-1], classes, strict=False)
            )
            kind = classes[-2] if len(classes) > 1 else ""
            if kind.startswith("torch.nn.modules.") and ".container." not in kind:
                self._modules.add(id(node))
        return bool(self._scopes)

    def _read_paths(self, nodes: Sequence[Any]) -> None:
        named = [node for node in nodes if node.name.startswith("/")]
        if not named:
            return
        paths = {id(node): _joined(node.name.strip("/").split("/")[:-1]) for node in named}
        self._scopes = paths
        outer = {path[:end] for path in paths.values() for end in range(len(path)) if path[end] == "."}
        count = Counter(paths.values())
        self._modules = {node for node, path in paths.items() if path and count[path] == 1 and path not in outer}

    def _infer_scopes(self, nodes: Sequence[Any]) -> None:
        """A node that does not say where it ran did so where what it gives is read."""
        if not self._scopes:
            return
        readers: dict[str, list[str]] = {}
        for node in reversed(nodes):
            if id(node) not in self._scopes:
                told = [scope.split(".") for name in node.output for scope in readers.get(name, [])]
                self._scopes[id(node)] = ".".join(_shared(told))
            for name in node.input:
                readers.setdefault(name, []).append(self._scopes[id(node)])

    def name(self, node: Any, keys: Sequence[str], reads: Iterable[str], word: str) -> str:
        """The name of a call. `keys` are its tensors in the file, `reads` the names of calls that it reads."""
        for key in keys:
            scope, _, leaf = key.rpartition(".")
            if self._users[key] > 1:  # exporters keep one of several tensors that are equal
                continue
            if leaf in _LEAVES and scope and "::" not in key and "/" not in key:
                return scope
        scope = self._scopes.get(id(node), "")
        if scope and id(node) in self._modules:
            return scope
        if self.has_scopes:
            return f"{scope}.{word}" if scope else word
        path = self._of_tensors(keys)
        if path:
            return path
        scopes = [read.split(".")[:-1] for read in reads]
        return ".".join([*_shared(scopes), word])

    def is_folded(self, node: Any, weight: str) -> bool:
        """Whether one of torch's exporters folded a norm into a convolution: its weights are none of a module."""
        if weight.startswith("onnx::"):
            return True
        return any(entry.key == _RULES and "BatchNorm" in entry.value for entry in node.metadata_props)

    def parameter(self, node: Any, key: str, word: str) -> str:
        """The name of a tensor that is no weight of a layer."""
        if re.fullmatch(r"[\w-]+(\.[\w-]+)+", key):
            return key
        scope = self._scopes.get(id(node), "")
        return self._of_tensors([key]) or (f"{scope}.{word}" if scope else word)

    def _of_tensors(self, keys: Sequence[str]) -> str:
        """The path that the names of a layer's tensors have in common."""
        told = [key.removeprefix(self._prefix) for key in keys if "::" not in key and not re.fullmatch(r"\w?\d*", key)]
        if not told:
            return ""
        short = [_TENSOR.sub("", key) for key in told]
        path = "".join(_shared(short)).rstrip("._/:") if len(set(short)) > 1 else short[0]
        return re.sub(r"\.+", ".", path.replace("/", ".")).strip(".")


def _shared(paths: Sequence[Sequence[str]]) -> list[str]:
    """What all of these begin with: parts of paths, or letters of words."""
    shared: list[str] = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return shared


def _listed(text: str | None) -> list[str]:
    """A list of words, as Python writes it."""
    if text is None or len(text) > _LONGEST:
        return []
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return []
    return found if isinstance(found, list) and all(isinstance(each, str) for each in found) else []


def _joined(parts: Sequence[str]) -> str:
    """A path of which each part may begin with the one before it: `layer1`, `layer1.0`, `conv1` is `layer1.0.conv1`."""
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path[-1] = part
        else:
            path.append(part)
    return ".".join(path)


def _folder(keys: Iterable[str]) -> str:
    """What the names of all tensors begin with, up to a slash."""
    folders = {key.partition("/")[0] for key in keys}
    return f"{folders.pop()}/" if len(folders) == 1 else ""
