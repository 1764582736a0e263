"""The winner of a search as a spec of its own: its parameters fixed, its options named, and nothing left to vary."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from cnnspec.errors import CnnspecError
from cnnspec.graph import Graph
from cnnspec.language import Network, Source, read_spec
from cnnspec.language.document import BODIES
from cnnspec.language.format import format_text
from cnnspec.language.source import read_text
from cnnspec.language.tree import MapValue, Value
from cnnspec.places import split_lines
from cnnspec.search.folder import SearchPlan
from cnnspec.search.records import TrialRecord

__all__ = ["fixed_spec"]

Document = dict[str, Any]


def fixed_spec(plan: SearchPlan, record: TrialRecord) -> str:
    """The text of a spec that is a trial's network by itself, with the options that it was trained with by default.

    It is JSON where the search's spec is. Remarks stay, wherever the sections they stand in stay as they are. Raises
    CnnspecError where the text would be another network.
    """
    network = plan.network
    source = network.source
    wanted = network.with_params(record.candidate.params, purpose="train")
    document = source.plain()
    assert isinstance(document, dict)
    changed = _changed(document, network, record, plan)
    if not source.json:
        text = _spliced(source, changed)
        if text is not None and _makes(text, source, wanted):
            return text
    whole = {key: value for key, value in {**document, **changed}.items() if value is not None}
    text = _canonical(json.dumps(whole) if source.json else _dumped(whole), source)
    if text is None or not _makes(text, source, wanted):
        raise CnnspecError(f"{record.name} cannot be written as a spec of its own", hint=f"its run {record.run} has it")
    return text


def _changed(document: Document, network: Network, record: TrialRecord, plan: SearchPlan) -> Document:
    """The sections of the document that are not what they were; None for those that go."""
    variants = document.get("variants") or {}
    settings = dict(variants.get(network.variant) or {}) if network.variant else {}
    settings |= {name: _plain(text) for name, text in network.params.items()}
    settings |= {name: _plain(value) for name, value in record.candidate.params.items()}
    changed: Document = {"search": None, "params": {**(document.get("params") or {}), **settings} or None}
    if network.variant:
        changed |= {"name": network.name, "variants": None}
    if network.input_override is not None:
        given = document.get("input")
        shape = list(network.input_override)
        changed["input"] = {**given, "shape": shape} if isinstance(given, dict) else shape
    options = {"epochs": plan.config.epochs, **record.candidate.options}
    changed["train"] = {**(document.get("train") or {}), **options}
    return changed


def _plain(value: Any) -> Any:
    """A parameter's value as a document has it: a text that is a list or a number is one."""
    if not isinstance(value, str):
        return value
    try:
        read = json.loads(value)
    except ValueError:
        return value
    return read if isinstance(read, (list, int, float)) and not isinstance(read, bool) else value


def _spliced(source: Source, changed: Document) -> str | None:
    """The text with the lines of the changed sections replaced; None where it is not written in lines."""
    root: Value = read_text(source.text.encode(), json=False).value
    assert isinstance(root, MapValue)
    lines = split_lines(source.text)
    starts = {key.value: key.place for key, _ in root.entries}
    if any(place.column != 1 for place in starts.values()):
        return None
    order = sorted((place.line, key) for key, place in starts.items())
    ends = {key: following for (_, key), (following, _) in zip(order, [*order[1:], (len(lines) + 1, "")], strict=True)}
    made: list[str] = []
    done: set[str] = set()
    for number, (line, key) in enumerate(order):
        if number == 0:
            made += lines[: line - 1]
        if key in BODIES:
            for new in changed.keys() - starts.keys() - done:
                made += _section(new, changed[new])
                done.add(new)
        own = lines[line - 1 : ends[key] - 1]
        if key not in changed:
            made += own
            continue
        if changed[key] is None:  # what is said above it goes with it
            while made and made[-1].startswith("#"):
                made.pop()
        below = len(own)
        while below > 1 and re.match(r"\s*(#|$)", own[below - 1]) and not own[below - 1].startswith(" "):
            below -= 1
        made += [*_section(key, changed[key]), *own[below:]]
    return _canonical("\n".join(made) + "\n", source)


def _section(key: str, value: Any) -> list[str]:
    """The lines of a section: one in brackets, where nothing is nested deeper than parameters are."""
    if value is None:
        return []
    inner = value.values() if isinstance(value, dict) else ()
    style = None if any(isinstance(each, dict) for each in inner) or key in (*BODIES, "blocks") else True
    if not style:
        return _dumped({key: value}).splitlines()
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=True, width=10**6)
    line = text.removesuffix("...\n").strip()
    return [f"{key}: {line}"]


def _dumped(document: Document) -> str:
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10**6)


def _canonical(text: str, source: Source) -> str | None:
    try:
        return format_text(text, path="spec.json" if source.json else "spec.yaml")
    except CnnspecError:
        return None


def _makes(text: str, source: Source, wanted: Network) -> bool:
    """Whether a text is the wanted network by itself."""
    try:
        graph = read_spec("spec.json" if source.json else "spec.yaml", text.encode()).elaborate()
    except CnnspecError:
        return False
    return _told(graph) == _told(wanted.graph)


def _told(graph: Graph) -> object:
    return (
        graph.name,
        graph.input_shape,
        graph.nodes,
        graph.outputs,
        graph.aux_outputs,
        graph.mean,
        graph.std,
        graph.intake,
    )
