"""How long the language takes: reading and working out specs, large ones, and what they need of memory.

python benchmarks/language.py
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import yaml

from cnnspec import zoo
from cnnspec.language import read_spec

LARGE = 19_996
HEAD = "cnnspec: 1\ninput: [8, 32, 32]\n"
LINES = "".join(
    f"  c{n}: Conv2d(8, 3, padding=1, bias=False)\n  b{n}: BatchNorm2d\n  r{n}: ReLU\n  a{n}: Add(c{n}, r{n})\n"
    for n in range(LARGE // 4)
)
BLOCK = """\
blocks:
  Unit:
    params: {out: int}
    layers:
      c: Conv2d(out, 3, padding=1, bias=False)
      b: BatchNorm2d
      r: ReLU
      a: Add(c, r)
"""


def best(job: Callable[[], object], times: int = 7) -> float:
    """The shortest processor time of several runs, in milliseconds."""
    found = []
    for _ in range(times):
        start = time.process_time()
        job()
        found.append(time.process_time() - start)
    return 1000 * min(found)


def main() -> None:
    """Print one line for each figure."""
    for name in ("lenet5", "resnet152", "densenet201", "efficientnet_b7"):
        path, variant = zoo.names()[name]
        source = read_spec(path)
        nodes = len(source.elaborate(variant=variant))
        reading = best(lambda path=path: read_spec(path))  # type: ignore[misc]
        working = best(lambda source=source, variant=variant: source.elaborate(variant=variant))  # type: ignore[misc]
        print(f"{name}: {nodes} nodes, read in {reading:.1f} ms, worked out in {working:.1f} ms")
    for name, text in (
        ("written out", f"{HEAD}layers:\n{LINES}"),
        ("by repetition", f"{HEAD}{BLOCK}layers:\n  x: Unit(8) * {LARGE // 4}\n"),
    ):
        data = text.encode()
        whole = best(lambda data=data: read_spec("net.yaml", data).elaborate(), 3)  # type: ignore[misc]
        print(f"{LARGE:,} nodes, {name}: {whole:.0f} ms")
    data = f"{HEAD}layers:\n{LINES}".encode()
    ours = best(lambda: read_spec("net.yaml", data), 3)
    events = best(lambda: sum(1 for _ in yaml.parse(data, Loader=yaml.CSafeLoader)), 3)
    print(f"reading them: {ours / events:.1f} times libyaml's bare events")
    print(f"most memory used: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    main()
