"""Small specs with huge numbers, through every analysis: each ends, in bounded memory, with figures or with an error.

Each batch runs in a process of its own, which may have `MEMORY` bytes, and what one unit reads `MEMORY_OF_UNIT`; a spec
that takes longer than `SECONDS` of processor time, by far more than any should, ends it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hostile_specs import LONGEST

import cnnspec

MEMORY = 2**30
MEMORY_OF_UNIT = 2 * 2**30
SECONDS = 60
PROGRAM = """
import resource, signal, sys
import cnnspec
from cnnspec.analysis.check import check
from cnnspec.analysis.sizes import sizes
from cnnspec.errors import CnnspecError
from cnnspec.language import read_spec
from hostile_specs import LONGEST, hostile_spec

def figures(text):
    source = read_spec("net.yaml", text.encode())
    yield lambda: check(source)
    yield lambda: sizes(source)
    yield lambda: cnnspec.api.format_text(text)
    try:
        spec = cnnspec.loads(text)
    except cnnspec.SpecError:
        return
    last = spec.graph.nodes[-1].name
    yield lambda: spec.analyze().to_dict()
    yield lambda: spec.analyze(purpose="train", batch=3, optimizer="adam", precision="bf16").to_dict()
    yield lambda: spec.lint()
    yield lambda: spec.largest_batch(2**33)
    yield lambda: spec.largest_batch(2**33, optimizer="adam")
    resource.setrlimit(resource.RLIMIT_AS, ({memory_of_unit}, {memory_of_unit}))
    yield lambda: spec.field(last).to_dict()
    yield lambda: spec.explain(last).to_dict()

good = total = 0
specs = {specs}
for name, text in specs.items():
    print(name, flush=True)
    resource.setrlimit(resource.RLIMIT_AS, ({memory}, {memory_of_unit}))
    for figure in figures(text):
        total += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, {seconds})  # its signal ends the process
        try:
            figure()
            good += 1
        except CnnspecError:
            pass
assert total // 4 < good < total + (len(specs) == 1), (good, total)
print("done")
"""


def survive(specs: str, count: int) -> None:
    """Run what an expression for the specs by name gives."""
    program = PROGRAM.format(memory=MEMORY, memory_of_unit=MEMORY_OF_UNIT, seconds=SECONDS, specs=specs)
    folders = [str(Path(cnnspec.__file__).parents[1]), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=False,
    )
    *names, last = done.stdout.split()
    assert last == "done", f"{last} of {specs}: {done.returncode}\n{done.stderr[-2000:]}"
    assert len(names) == count


def drawn(first: int, count: int) -> None:
    survive(f"{{seed: hostile_spec(seed) for seed in range({first}, {first + count})}}", count)


@pytest.mark.parametrize("first", [0, 1000, 2000])
def test_hostile_specs_end(first: int) -> None:
    drawn(first, 5)


@pytest.mark.parametrize("name", LONGEST)
def test_specs_that_took_longest_end(name: str) -> None:
    survive(f"{{{name!r}: LONGEST[{name!r}]}}", 1)


@pytest.mark.long
@pytest.mark.parametrize("first", range(10_000, 20_000, 100))
def test_more_hostile_specs_end(first: int) -> None:
    drawn(first, 100)
