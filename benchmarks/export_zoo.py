"""Every bundled network exported and compared with torch, with its largest difference, seconds and memory.

Each network has a process of its own, so that its memory is given back. A line per network is appended to FILE; what
stands there already is not done again, so that a run that was cut off goes on. A network that fails has its line too,
with the reason, and makes the exit code 1.

    python benchmarks/export_zoo.py FILE [NAME …] [--options "--precision fp16"]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from cnnspec import zoo

CHECKS = ("numbers", "other weights and statistics", "another size", "top-1 agreement")


def export(name: str, options: list[str]) -> str:
    """The line about a network."""
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "cnnspec", "export", name, "-o", f"{place}/n.onnx", "--format", "json"]
        environment = {**os.environ, "CNNSPEC_CACHE": place, "OMP_NUM_THREADS": "1"}
        start = time.perf_counter()
        done = subprocess.run([*command, *options], capture_output=True, text=True, env=environment, check=False)
        seconds = time.perf_counter() - start
    if done.returncode:
        reason = next((line for line in done.stderr.splitlines() if line.startswith("error")), done.stderr[-200:])
        return f"{name:20} FAILED with {done.returncode}: {reason}"
    found = {check["name"].partition(",")[0]: check["figure"] for check in json.loads(done.stdout)["checks"]}
    figures = "  ".join(f"{check} {found[check]:.1e}" for check in CHECKS if check in found)
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20  # the largest so far
    return f"{name:20} {figures}  {seconds:.0f} s  at most {memory:.1f} GiB so far"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument("names", nargs="*", metavar="NAME", help="all bundled networks by default")
    parser.add_argument("--options", default="", help="more options of `cnnspec export`, as one text")
    chosen = parser.parse_args()
    chosen.file.touch()
    lines = chosen.file.read_text("utf-8").splitlines()
    for name in chosen.names or zoo.names():
        if any(line.split()[0] == name for line in lines):
            continue
        lines.append(export(name, shlex.split(chosen.options)))
        print(lines[-1], flush=True)
        with open(chosen.file, "a", encoding="utf-8") as file:
            file.write(f"{lines[-1]}\n")
    raise SystemExit(any("FAILED" in line for line in lines))


if __name__ == "__main__":
    main()
