"""A coverage-guided fuzzer for specs. Not a test: it runs until it is stopped, or for `-max_total_time` seconds.

    pip install atheris
    python tests/fuzz/fuzz_spec.py corpus_folder -max_total_time=300 -rss_limit_mb=600 -timeout=5

The first byte of an input chooses YAML, JSON, a line or an expression; the rest is the text. The folder is filled with
the bad files of tests/corpus and the bundled specs, where it is empty.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["cnnspec"]):
    import cnnspec
    from cnnspec import zoo
    from cnnspec.api import format_text
    from cnnspec.diagnostics import render_all
    from cnnspec.errors import CnnspecError, SpecError, UsageError
    from cnnspec.language import read_spec
    from cnnspec.language.evaluate import evaluate
    from cnnspec.language.expression import ExpressionError, parse_expression, parse_line

SCOPE = {"n": 3, "x": 0.5, "flag": True, "none": None, "list": [1, 2, 3], "pair": (1, (2, 3))}
NAMES = ("fuzz.yaml", "fuzz.json")


def one_spec(name: str, data: bytes) -> None:
    """Read and work out; what is good keeps its meaning when it is formatted."""
    try:
        graph = read_spec(name, data).elaborate(max_nodes=2000)
    except SpecError as error:
        render_all(error.diagnostics, name, error.text)
        return
    except UsageError:
        return
    try:
        formatted = format_text(data.decode("utf-8-sig"), path=name)
    except CnnspecError:
        return
    assert cnnspec.loads(formatted, path=name, max_nodes=2000).graph.nodes == graph.nodes, formatted


def one_input(data: bytes) -> None:
    """What the fuzzer calls."""
    if not data:
        return
    kind, rest = data[0] % 4, data[1:]
    if kind < 2:
        one_spec(NAMES[kind], rest)
        return
    text = rest.decode("utf-8", "replace")
    try:
        if kind == 2:
            parse_line(text)
        else:
            evaluate(parse_expression(text), SCOPE)
    except ExpressionError as error:
        if not 0 <= error.offset <= len(text):
            raise RuntimeError("the place is outside of the text") from error


def fill(folder: Path) -> None:
    """Put seeds into an empty folder."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        return
    seeds = [*zoo.bundled().values(), *(Path(__file__).parents[1] / "corpus").iterdir()]
    for number, path in enumerate(seeds):
        kind = b"\x01" if path.suffix == ".json" else b"\x00"
        (folder / f"seed-{number}").write_bytes(kind + path.read_bytes())


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
