"""How long the texts are that flat graphs are folded to, and how long that takes; the bundled specs are the measure.

    python benchmarks/outline.py [NAME...]

Each bundled network is flattened and folded without the names of its classes. `hand` are the lines of the spec it came
from, without description, reference, parameters and variants, which no graph knows.
"""

from __future__ import annotations

import statistics
import sys
import time

from cnnspec import zoo
from cnnspec.language import read_spec
from cnnspec.outline import refold

_UNKNOWN = ("description:", "reference:", "params:", "variants:", "let:", "train:", "lint:")


def hand_lines(text: str) -> int:
    """The lines of a spec that say what a graph says."""
    count, skipped = 0, False
    for line in text.splitlines():
        if not line.startswith((" ", "#")):
            skipped = line.startswith(_UNKNOWN)
        count += bool(line.strip()) and not skipped and not line.lstrip().startswith("#")
    return count


def against(pairs: list[tuple[int, int]]) -> str:
    """How many lines texts have, as times those of the specs by hand."""
    median = statistics.median(lines / hand for lines, hand in pairs)
    total = sum(lines for lines, _ in pairs) / sum(hand for _, hand in pairs)
    return f"all lines together {total:.3f} times, median {median:.2f} times, {len(pairs)} of them"


def main() -> None:
    """One line for each network, and the figures of all."""
    chosen = sys.argv[1:] or sorted(zoo.names())
    lines, pairs, seconds = [], [], []
    print(f"{'network':<28}{'nodes':>7}{'lines':>7}{'hand':>7}{'seconds':>9}")
    for name in chosen:
        path, variant = zoo.names()[name]
        source = read_spec(str(path), path.read_bytes())
        graph = source.elaborate(variant=variant)
        start = time.perf_counter()
        text = refold(graph).text
        seconds.append(time.perf_counter() - start)
        lines.append(text.count("\n"))
        hand = hand_lines(source.text)
        if variant is None:
            pairs.append((lines[-1], hand))
        print(f"{name:<28}{len(graph):>7}{lines[-1]:>7}{hand:>7}{seconds[-1]:>9.2f}")
    nearest = sorted(lines)[min(len(lines) - 1, int(0.9 * len(lines)))]
    print(f"\n{len(lines)} networks: median {statistics.median(lines):.0f} lines, 90 % at most {nearest}")
    if pairs:
        print(f"against the specs by hand: {against(pairs)}")
    print(f"the slowest took {max(seconds):.2f} s")


if __name__ == "__main__":
    main()
