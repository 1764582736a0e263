"""The examples of the language's page are specs, and become what stands below them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import cnnspec
from cnnspec.graph import Graph
from cnnspec.ops import show_shape

PAGE = (Path(__file__).parents[2] / "docs" / "language.md").read_text("utf-8")
EXAMPLE = re.compile(r"```yaml\n(?P<spec>.*?)```\n(?:\n```text\n(?P<table>.*?)```\n)?", re.DOTALL)
EXAMPLES = [(match["spec"], match["table"]) for match in EXAMPLE.finditer(PAGE)]
HEAD = "cnnspec: 1\ninput: [3, 32, 32]\n"


def table(graph: Graph) -> str:
    rows = [(node.name, node.op.op_name, show_shape(node.shape)) for node in graph]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "".join(f"{name:{widths[0]}}  {op:{widths[1]}}  {shape}\n" for name, op, shape in rows)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 12
    assert sum(below is not None for _, below in EXAMPLES) == 7


@pytest.mark.parametrize(("spec", "below"), EXAMPLES, ids=[spec.split("\n")[1].strip() for spec, _ in EXAMPLES])
def test_the_example_is_a_spec(spec: str, below: str | None) -> None:
    text = spec if spec.startswith("cnnspec: 1") else HEAD + spec
    graph = cnnspec.loads(text).graph
    assert below is None or table(graph) == below
