"""All that a page shows of a network, as plain data: layers, boxes, figures, arithmetic, fields and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from cnnspec.analysis.explain import call_text, explain
from cnnspec.analysis.lint.base import Finding
from cnnspec.analysis.report import CONVENTION, LayerReport, Report
from cnnspec.analysis.view import plain_number
from cnnspec.codes import explain_code
from cnnspec.drawing.boxes import inner_name
from cnnspec.drawing.geometry import Geometry
from cnnspec.drawing.palette import DARK, LIGHT
from cnnspec.drawing.scheme import Box, Card, scheme
from cnnspec.drawing.words import KINDS, details, kind_of
from cnnspec.errors import Diagnostic
from cnnspec.graph import INPUT
from cnnspec.language import Network
from cnnspec.version import __version__

__all__ = ["page_data"]

INPUT_NUMBER: Final = -1  # what layers are numbered from 0 read of the network's input
Data = dict[str, Any]


def page_data(
    network: Network, report: Report, findings: Sequence[Diagnostic], blocks: Mapping[str, str] = MappingProxyType({})
) -> Data:
    """The network of the report's purpose. `blocks` are the names of the blocks that groups are calls of."""
    graph = network.graph.network(report.purpose)
    header = network.source.document.header
    geometry = Geometry(network.graph)
    numbers = {INPUT: INPUT_NUMBER, **{node.name: number for number, node in enumerate(graph)}}
    root = scheme(graph, blocks)
    layers = []
    for node, row in zip(graph, report.layers, strict=True):
        layers.append(
            {
                **_figures(row),
                "kind": kind_of(node.op),
                "call": call_text(node.op),
                "details": details(node.op),
                "reads": [numbers[name] for name in node.inputs],
                **geometry.of(node),
            }
        )
    lines: dict[str, int] = {}
    for layer, node in zip(layers, graph, strict=True):
        told = explain(network.graph, report, node.name, geometry.fields)
        layer["told"] = [[lines.setdefault(text, len(lines)) for text in line] for line in told.lines]
    return {
        "cnnspec": __version__,
        "name": graph.name,
        "description": header.description,
        "reference": header.reference,
        "input": list(graph.input_shape),
        "outputs": [numbers[name] for name in graph.outputs],
        "trained": [numbers[name] for name in graph.aux_outputs if name in numbers],
        "purpose": report.purpose,
        "totals": report.totals.to_dict(),
        "memory": report.memory.to_dict(),
        "convention": CONVENTION,
        "kinds": {
            kind: {
                "word": word,
                "light": [LIGHT.kinds[kind], LIGHT.marks[kind]],
                "dark": [DARK.kinds[kind], DARK.marks[kind]],
            }
            for kind, word in KINDS.items()
        },
        "layers": layers,
        "words": list(lines),
        "windows": geometry.windows,
        "states": geometry.states,
        "root": _box(root, "", numbers),
        "source": {"path": network.source.path, "text": network.source.text},
        "findings": [_finding(finding) for finding in findings],
        "pages": {code: explain_code(code) for code in dict.fromkeys(finding.code for finding in findings)},
    }


def _figures(row: LayerReport) -> Data:
    return {
        "name": row.name,
        "op": row.op,
        "shape": list(row.output_shape),
        "shapes": [list(shape) for shape in row.input_shapes],
        "params": row.params,
        "macs": row.macs,
        "flops": row.flops,
        "bytes": row.output_bytes,
        "field": row.field_text,
        "size": list(row.receptive_field),
        "stride": [plain_number(stride) for stride in row.effective_stride],
        "padding": list(row.effective_padding),
        "line": row.line,
        **({"aux": True} if row.aux else {}),
        **({"dead": True} if row.dead else {}),
    }


def _box(box: Box, around: str, numbers: Mapping[str, int]) -> Data:
    """A box; lists that are empty are left out."""
    found: Data = {"name": box.name, "title": inner_name(box, around)}
    if box.copies:
        found["copies"] = list(box.copies)
    if box.block is not None:
        found["block"] = box.block
    if isinstance(box, Card):
        return {**found, "layers": [numbers[node.name] for node in box.layers]}
    return {
        **found,
        "count": box.count(),
        "children": [_box(child, box.name, numbers) for child in box.children],
        "edges": [[edge.source, edge.target, numbers[edge.tensor]] for edge in box.edges],
        "ports": [numbers[tensor] for tensor in box.ports],
        "results": [[child, numbers[tensor]] for child, tensor in box.results],
    }


def _finding(finding: Diagnostic) -> Data:
    layers = list(finding.layers) if isinstance(finding, Finding) else []
    return {**finding.to_dict(), "layers": layers}
