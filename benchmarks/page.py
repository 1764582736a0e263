"""What pages weigh, how long they take to write, and how long the layout of a large network takes in a browser.

    python benchmarks/page.py [ROUNDS]

Writing is processor time of this process; the layout is the shortest of the rounds in the system's Chromium, of all 864
layers of efficientnet_b7 with every group open. Samples are those of networks with random weights, on noise.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

import cnnspec
from cnnspec import zoo
from cnnspec.drawing.page import built, to_page
from cnnspec.exporting.subject import of_spec
from cnnspec.pages.computed import computed
from cnnspec.pages.samples import Samples

LIMITS: Final = {"letters before data": 250_000, "the zoo": 30.0, "layout": 100.0}
SAMPLED: Final = ("lenet5", "lenet5_32", "resnet18", "resnet50")
LAID: Final = "efficientnet_b7"
LAYOUT: Final = """rounds => {
    const { view } = cnnspec;
    const all = new Set(view.index.groups.keys());
    let least = Infinity;
    for (let round = 0; round < rounds; round++) {
        const start = performance.now();
        new view.layouts.constructor(view.data).scene(all);
        least = Math.min(least, performance.now() - start);
    }
    return [least, view.data.layers.length];
}"""


def write_all() -> None:
    """Every bundled network and variant as a page."""
    start = time.process_time()
    sizes = {name: len(to_page(cnnspec.load(name)).encode()) for name in sorted(zoo.names())}
    took = time.process_time() - start
    largest = max(sizes, key=lambda name: sizes[name])
    print(f"{len(sizes)} pages of the zoo: {took:.1f} s (at most {LIMITS['the zoo']:.0f} s)")
    print(f"  {sum(sizes.values()):,} bytes, the largest is {largest} with {sizes[largest]:,}")


def sample() -> None:
    """What one recorded image adds to a page."""
    for name in SAMPLED:
        spec = cnnspec.load(name)
        channels, *axes = spec.graph.input_shape
        pixels = np.random.default_rng(0).integers(0, 256, (1, *axes, channels), np.uint8)
        start = time.process_time()
        data = computed(of_spec(spec, None, 0), Samples(pixels, ("noise",), (None,)))
        took = time.process_time() - start
        exact = sum(each["exact"] for each in data["tensors"])
        text, weights = len(data["samples"][0]["data"]), len(data["weights"]["data"])
        print(
            f"  one image of {name}: {text:,} letters, {exact} of {len(data['tensors'])} layers exact;"
            f" weights {weights:,}; {took:.1f} s"
        )


def lay_out(rounds: int) -> None:
    """The layout in a browser."""
    from playwright.sync_api import sync_playwright

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        print("layout: there is no Chromium")
        return
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder) / "page.html"
        path.write_text(to_page(cnnspec.load(LAID)), "utf-8")
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = opened.new_page()
        page.goto(path.as_uri())
        page.wait_for_selector("svg .layer, svg .group")
        least, layers = page.evaluate(LAYOUT, rounds)
        opened.close()
    print(f"layout of {layers} layers, all groups open: {least:.0f} ms (at most {LIMITS['layout']:.0f} ms)")


def main() -> None:
    """Print everything."""
    size = len(built("page").encode())
    print(f"a page before data: {size:,} bytes (at most {LIMITS['letters before data']:,})")
    write_all()
    sample()
    lay_out(int(sys.argv[1]) if len(sys.argv) > 1 else 10)


if __name__ == "__main__":
    main()
