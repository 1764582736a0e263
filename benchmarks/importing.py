"""How much of other makers' networks can be said, whether it is equal, and how long the texts are.

    python benchmarks/importing.py [torchvision|timm|onnx|keras] [NAME...] [--every N [--from N]] [--no-proof | --code]
                                   [--input CxHxW] [--log FILE] [--keep FOLDER]

Each network is imported in a process of its own, forked from one that has loaded the libraries; nothing is trained and
nothing is downloaded. A row says how many layers and lines come out and what the proof found, or what is missing.
With `--code` it is not the spec that is proved, but the source that `cnnspec code` writes for it: a row says how many
lines that has, and how many classes; with `--keep` the source stays in a folder.
`timm` are the models of its modules of convolutional networks; `foreign_models.py` says what `onnx` and `keras` are.
With `--log` the rows are kept in a file, and those that it has are not run again.
"""

from __future__ import annotations

import argparse
import collections
import json
import multiprocessing
import re
import resource
import statistics
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from foreign_models import LIBRARIES, made, names
from outline import against, hand_lines

from cnnspec import zoo
from cnnspec.errors import CnnspecError, VerificationError
from cnnspec.importing.pipeline import GapsError, import_source
from cnnspec.importing.sources import parse_source
from cnnspec.language import Network, read_spec
from cnnspec.ops import Shape

_LIMIT = 900  # seconds of one network


class Row(NamedTuple):
    """What came of one network."""

    name: str
    outcome: str  # equal, said (not proved), gaps, refused, unequal, error
    layers: int = 0
    lines: int = 0
    seconds: float = 0.0
    memory: int = 0  # MB at the peak
    detail: str = ""


class Asked(NamedTuple):
    """What is done with each network."""

    input_shape: Shape | None = None
    proof: bool = True  # of the spec
    code: bool = False  # written and compared
    keep: Path | None = None  # the folder for it


def imported(source: str, asked: Asked) -> Row:
    """One network, in this process."""
    with tempfile.TemporaryDirectory() as folder:
        return _imported(source, made(source, Path(folder)), asked)


def _imported(source: str, text: str, asked: Asked) -> Row:
    import torch

    torch.set_num_threads(1)
    start = time.process_time()
    row = Row(source, "equal" if asked.proof or asked.code else "said")
    try:
        name = parse_source(text)
        assert name is not None
        made = import_source(name, asked.input_shape)
        layers, lines = len(made.graph(made.members[0])), made.text.count("\n")
        row = row._replace(layers=layers, lines=lines, detail="; ".join(made.notes)[:80])
        if asked.code:
            row = row._replace(detail=_code(made.text, asked.keep and asked.keep / f"{_file_name(source)}.py"))
        elif asked.proof:
            checks = made.proved().checks
            row = row._replace(detail=f"{max(check.figure or 0 for check in checks):.0e} {row.detail}")
    except GapsError as error:
        kinds = collections.Counter(f"{gap.call}: {gap.missing}" for gap in error.gaps)
        row = row._replace(outcome="gaps", detail=" | ".join(kinds))
    except VerificationError as error:
        row = row._replace(outcome="unequal", detail=error.message)
    except CnnspecError as error:
        row = row._replace(outcome="refused", detail=error.message)
    except Exception as error:  # which is what is looked for
        row = row._replace(outcome="error", detail=f"{type(error).__name__}: {error}"[:200])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return row._replace(seconds=time.process_time() - start, memory=peak)


def _file_name(source: str) -> str:
    return re.sub(r"\W", "_", source)


def _code(text: str, keep: Path | None) -> str:
    """What is said of the source for a spec: that of its blocks, or which other was the network. Heads are included."""
    from cnnspec.codegen import write_code
    from cnnspec.torch_backend.same_code import check_code

    network = Network.elaborate(read_spec("spec.yaml", text.encode()), purpose="train")
    wrong: list[str] = []
    for written in write_code(network):
        try:
            checks = check_code(written, network.graph.network("train"))
        except VerificationError as error:
            wrong.append(error.message)
            continue
        if keep is not None:
            keep.parent.mkdir(parents=True, exist_ok=True)
            keep.write_text(written.text, encoding="utf-8")
        classes = written.text.count("\nclass ")
        refused = [check for check in checks if "refuses" in check]
        return "; ".join([f"{written.text.count(chr(10))} lines, {classes} classes", *refused, *wrong])
    raise VerificationError("; ".join(wrong))


def _work(pipe: Connection, source: str, asked: Asked) -> None:
    pipe.send(imported(source, asked))


def in_a_process(source: str, asked: Asked) -> Row:
    """One network, in a process of its own."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(target=_work, args=(there, source, asked))
    process.start()
    there.close()
    try:
        row = here.recv() if here.poll(_LIMIT) else Row(source, "error", detail=f"took more than {_LIMIT} s")
    except EOFError:
        row = Row(source, "error", detail="its process died")
    process.kill()
    process.join()
    return row


def _kept(path: Path | None) -> dict[str, Row]:
    """The rows of a run that was cut short."""
    if path is None or not path.exists():
        return {}
    rows = [Row(*json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row.name: row for row in rows}


def main() -> None:
    """A line for each network, and the figures of all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--every", type=int, default=1, help="only one of so many")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--no-proof", action="store_true")
    parser.add_argument("--code", action="store_true")
    parser.add_argument("--input", default="")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--keep", type=Path)
    given = parser.parse_args()
    libraries = [name for name in given.names if name in LIBRARIES]
    sources = [name for name in given.names if name not in libraries]
    for library in libraries or ([] if sources else LIBRARIES):
        sources += names(library)[given.first :: given.every]
    import torchvision  # noqa: F401  # before the fork

    shape = tuple(map(int, given.input.split("x"))) if given.input else None
    asked = Asked(shape, not given.no_proof, given.code, given.keep)
    kept = _kept(given.log)
    rows = []
    for source in sources:
        row = kept.get(source) or in_a_process(source, asked)
        rows.append(row)
        if given.log and source not in kept:
            with given.log.open("a", encoding="utf-8") as log:
                print(json.dumps(row), file=log)
        figures = f"{row.layers:>6}{row.lines:>6}{row.seconds:>7.1f} s{row.memory:>7} MB"
        print(f"{row.name:<48}{row.outcome:<8}{figures}  {row.detail}", flush=True)
    _summary(rows)


def _by_hand(rows: list[Row]) -> list[tuple[int, int]]:
    """The lines of each network that is a bundled spec too, and that spec's."""
    found = []
    for row in rows:
        kind, _, name = row.name.partition(":")
        if row.lines and kind == "torchvision" and name in zoo.names():
            path, variant = zoo.names()[name]
            if variant is None:
                found.append((row.lines, hand_lines(path.read_text(encoding="utf-8"))))
    return found


def _summary(rows: list[Row]) -> None:
    counts = collections.Counter(row.outcome for row in rows)
    print(f"\n{len(rows)} networks: {', '.join(f'{count} {word}' for word, count in counts.most_common())}")
    lines = sorted(row.lines for row in rows if row.lines)
    if lines:
        nearest = lines[min(len(lines) - 1, int(0.9 * len(lines)))]
        print(f"lines: median {statistics.median(lines):.0f}, 90 % at most {nearest}")
    if pairs := _by_hand(rows):
        print(f"against the specs by hand: {against(pairs)}")
    missing = collections.Counter(kind for row in rows if row.outcome == "gaps" for kind in row.detail.split(" | "))
    for kind, count in missing.most_common(30):
        print(f"{count:>5}  {kind}")


if __name__ == "__main__":
    main()
