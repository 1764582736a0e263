"""What the pointer shows of a layer is what `inspect --explain` says of it, in every copy."""

from __future__ import annotations

from collections import defaultdict

import pytest

import cnnspec
from cnnspec.editor.hover import MOST_COPIES, hover
from cnnspec.editor.snapshot import line_of, look
from cnnspec.ops import show_shape
from cnnspec.zoo import find

NETWORKS = (
    "lenet5", "vgg11", "resnet18", "googlenet", "mobilenet_v1", "unet", "squeezenet1_0", "m5", "c3d",
    "shufflenet_v2_x0_5",
)  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer(name: str) -> None:
    snapshot = look(find(name)[0].read_text("utf-8"))
    spec = cnnspec.loads(snapshot.text)
    copies: dict[tuple[int, int], list[str]] = defaultdict(list)
    for use in snapshot.outcome.uses:
        if use.name in spec.graph.by_name and use.item.call is not None:
            copies[line_of(use), use.item.call.place.column].append(use.name)
    rows = {row.name: row for row in spec.analyze(purpose="train").layers}
    assert {name for names in copies.values() for name in names} == {*rows}
    for (line, column), names in copies.items():
        found = hover(snapshot, line, column)
        assert found is not None
        told = spec.explain(names[0])
        width = max(len(head) for head, _ in told.lines)
        text = "\n".join(f"{head.ljust(width)}  {said}" for head, said in told.lines)
        assert f"**{names[0]}**: `{told.call}`\n\n```text\n{text}\n```" in found.markdown
        for copy in names[:MOST_COPIES] if len(names) > 1 else ():
            row = rows[copy]
            figures = (copy, show_shape(row.output_shape), row.field_text, f"{row.params:,}", f"{row.macs:,}")
            assert f"| {' | '.join(figures)} |" in found.markdown


HEAD = "cnnspec: 1\ninput: [1, 16, 16]\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("layers:\n  - MaxPool2d(2, |foo=3)\n", "# E104"),
        ("layers:\n  - {type: MaxPool2d, kernel_size: 2, |foo: 3}\n", "# E104"),
        ("layers:\n  - Conv2d(4, 3, |rank=2)\n", "# E104"),
        ("layers:\n  - Convv2d(4, |stride=3)\n", None),
        ("layers:\n  - {type: input, |stride: 3}\n", None),
        ("layers:\n  - ReLU\n*   |lr: 3\n", None),
        ("params: {act: LeakyReLU}\nlayers:\n  - act(|negative_slope=0.3)\n", "`negative_slope` of LeakyReLU"),
    ],
)
def test_a_word_that_nobody_knows_has_its_mistake_and_no_more(text: str, wanted: str | None) -> None:
    before, after = (HEAD + text).split("|")
    snapshot = look(before + after)
    lines = before.splitlines()
    found = hover(snapshot, len(lines), len(lines[-1]) + 1, snapshot.outcome.diagnostics)
    assert (found is None) == (wanted is None)
    assert found is None or (found.markdown.startswith(wanted or "") and "\n---\n" not in found.markdown)
