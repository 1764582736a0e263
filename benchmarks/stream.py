"""Whether memory stays flat over a stream: the peak of a process that trains on, or predicts, many small images.

    python benchmarks/stream.py [--few 2000] [--many 20000] [--most 30]

Images stay in their files: in folders, and in a `.tar`. Each side is a process of its own; it fails where the many take
more than `--most` MB beyond the few. What is known of each file, its path and its class, grows with their number: a
kilobyte each.
"""

from __future__ import annotations

import argparse
import io
import os
import resource
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

SPEC = """
cnnspec: 1
name: small
input: [3, 16, 16]
layers:
  - Conv2d(4, 3, stride=2)
  - ReLU
  - Flatten
  - Linear(2)
"""
KINDS = ("train folder", "train tar", "predict folder")
DISTINCT = 50  # pictures; all others are links to them


def write_images(place: Path, count: int) -> None:
    """`count` small PNGs of two classes in `folder`, and the same in `all.tar`."""
    rng = np.random.default_rng(0)
    folder, pictures = place / "folder", []
    for label in ("a", "b"):
        (folder / label).mkdir(parents=True)
    with tarfile.open(place / "all.tar", "w") as archive:
        for at in range(count):
            path = folder / "ab"[at % 2] / f"{at:06}.png"
            if at < DISTINCT:
                file = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8)).save(file, "PNG")
                path.write_bytes(file.getvalue())
                pictures.append(path)
            else:
                os.link(pictures[at % DISTINCT], path)
            entry = tarfile.TarInfo(path.relative_to(folder).as_posix())
            data = path.read_bytes()
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))


def run(kind: str, place: Path) -> int:
    """Do it, and say the peak of this process in bytes."""
    import cnnspec

    verb, _, source = kind.partition(" ")
    spec = cnnspec.loads(SPEC)
    if verb == "train":
        cnnspec.train(
            spec, data=place / ("all.tar" if source == "tar" else "folder"), loading="streaming", epochs=1, threads=1,
            workers=0, channels_last=False, batch_size=64, runs=place / "runs", progress=None,
            name=source,
        )  # fmt: skip
    else:
        file = cnnspec.export(spec, place / "small.onnx", verify=False).path
        found = cnnspec.Predictor(file, device="cpu").stream(str(path) for path in (place / "folder").rglob("*.png"))
        print(sum(1 for _ in found), file=sys.stderr)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--few", type=int, default=2_000)
    parser.add_argument("--many", type=int, default=20_000)
    parser.add_argument("--most", type=float, default=30.0, metavar="MB")
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--place", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.kind:
        print(run(arguments.kind, arguments.place))
        return
    peaks: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for count in (arguments.few, arguments.many):
        with tempfile.TemporaryDirectory() as name:
            write_images(Path(name), count)
            for kind, found in peaks.items():
                command = [sys.executable, __file__, "--kind", kind, "--place", name]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found.append(int(done.stdout.splitlines()[-1]) / 1e6)
    grown = {kind: many - few for kind, (few, many) in peaks.items()}
    for kind, (few, many) in peaks.items():
        print(
            f"{kind:16} {few:6.0f} MB after {arguments.few:,} images, {many:6.0f} MB after {arguments.many:,}:"
            f" {grown[kind]:+.1f} MB"
        )
    if max(grown.values()) > arguments.most:
        raise SystemExit(f"more than {arguments.most:.0f} MB")


if __name__ == "__main__":
    main()
