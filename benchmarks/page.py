"""What pages weigh and how long they take: to write, to lay out a large network, to answer a drawing; and their faults.

    python benchmarks/page.py [ROUNDS]

Writing is processor time of this process. The layout is that of all 864 layers of efficientnet_b7 with every group
open, each laid out by itself and equal ones once; it is run anew in each round in the system's Chromium, whose script
has one thread: the shortest is what it takes, the median what it took on this machine as it is. Samples are those of
networks with random weights, on noise.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image

import cnnspec
from cnnspec import api, zoo
from cnnspec.drawing.page import built, to_page
from cnnspec.exporting.subject import of_spec
from cnnspec.pages.computed import computed
from cnnspec.pages.samples import Samples

if TYPE_CHECKING:
    from playwright.sync_api import Browser

LIMITS: Final = {"letters before data": 250_000, "the zoo": 30.0, "layout": 100.0}
LETTERS: Final = {"lenet5": 20_000, "resnet50": 1_400_000}  # of one image
SAMPLED: Final = ("lenet5", "lenet5_32", "resnet18", "resnet50")
LAID: Final = "efficientnet_b7"
SHOWN: Final = ("lenet5", "googlenet", "unet", "resnet50", LAID, "m5", "c3d")
SIZES: Final = ((1400, 900, "light"), (390, 844, "dark"))
AXE: Final = Path(__file__).parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"
ASK_AXE: Final = "async () => (await axe.run(document, {resultTypes: ['violations']})).violations.length"
LAYOUT: Final = """rounds => {
    const { view } = cnnspec;
    const all = new Set(view.index.groups.keys());
    return Array.from({ length: rounds }, () => {
        const start = performance.now();
        new view.layouts.constructor(view.data).scene(all);
        return performance.now() - start;
    });
}"""
DRAW: Final = """async ([rounds, path]) => {
    const input = document.querySelector('.walk input[type=file]');
    const bytes = Uint8Array.from(atob(path), (letter) => letter.charCodeAt(0));
    const times = [];
    for (let round = 0; round < rounds; round++) {
        const files = new DataTransfer();
        files.items.add(new File([bytes], `${round}.png`));
        const start = performance.now();
        input.files = files.files;
        input.dispatchEvent(new Event('change', { bubbles: true }));  // it is listened for further up
        const isThere = () => cnnspec.view.values.seen.recorded.sample.name === `${round}.png`;
        while (!isThere()) {
            if (performance.now() - start > 60_000) throw new Error('the image is not followed');
            await new Promise((done) => setTimeout(done));
        }
        times.push(performance.now() - start);
    }
    return times;
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
        limit = f" (at most {LETTERS[name]:,})" if name in LETTERS else ""
        print(
            f"  one image of {name}: {text:,} letters{limit}, {exact} of {len(data['tensors'])} layers exact;"
            f" weights {weights:,}; {took:.1f} s"
        )


def opened(
    browser: Browser, path: Path, width: int = 1400, height: int = 900, theme: Any = "light"
) -> tuple[Any, list[str]]:
    """A page, and what it asks for beyond itself as it goes on."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=theme)
    page.set_default_timeout(120_000)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.url != path.as_uri() else None)
    page.goto(path.as_uri())
    page.wait_for_selector("svg[role=application] .layer, svg[role=application] .group, .walk")
    return page, asked


def look(browser: Browser, folder: Path) -> None:
    """What axe finds in pages, and what they ask for."""
    if not AXE.is_file():
        print("axe-core is not there: `make web` installs it")
        return
    axe = AXE.read_text("utf-8")
    faults = requests = looked = 0
    for name in SHOWN:
        path = folder / f"{name}.html"
        path.write_text(to_page(cnnspec.load(name)), "utf-8")
        for width, height, theme in SIZES:
            page, asked = opened(browser, path, width, height, theme)
            page.evaluate(f"() => {{ {axe}; globalThis.axe = axe ?? globalThis.axe; }}")
            faults += page.evaluate(ASK_AXE)
            requests += len(asked)
            looked += 1
            page.close()
    print(f"{looked} views of {len(SHOWN)} networks: {faults} faults that axe finds, {requests} requests")


def lay_out(browser: Browser, folder: Path, rounds: int) -> None:
    """The layout in a browser."""
    page, _ = opened(browser, folder / f"{LAID}.html")
    took = page.evaluate(LAYOUT, rounds)
    layers = page.evaluate("cnnspec.data.layers.length")
    page.close()
    print(
        f"layout of {layers} layers, all groups open: {min(took):.0f} ms, median {statistics.median(took):.0f} ms"
        f" (at most {LIMITS['layout']:.0f} ms)"
    )


def answer(browser: Browser, folder: Path, rounds: int) -> None:
    """A page that is drawn on: what it weighs, until it can be drawn on, and until all follows an image."""
    import base64
    import io

    from safetensors.numpy import save_file

    spec = cnnspec.load("lenet5_32")
    save_file(dict(of_spec(spec, None, 0).weights), folder / "weights.safetensors")
    path = folder / "live.html"
    start = time.process_time()
    api.draw(spec, path, weights=folder / "weights.safetensors", live=True)
    took = time.process_time() - start
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (280, 280), np.uint8)).save(file, "PNG")
    begun = time.monotonic()
    page, asked = opened(browser, path)
    while "Draw here" not in "".join(page.locator(".pad p").all_text_contents()):
        page.wait_for_timeout(20)
    ready = time.monotonic() - begun
    times = page.evaluate(DRAW, [rounds, base64.b64encode(file.getvalue()).decode()])
    page.close()
    print(
        f"lenet5_32 to be drawn on: {path.stat().st_size:,} bytes, written in {took:.1f} s; ready after {ready:.1f} s;"
        f" an image of 280x280: {min(times):.0f} ms, median {statistics.median(times):.0f} ms; {len(asked)} requests"
    )


def in_browser(rounds: int) -> None:
    """What takes a browser."""
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        print("there is no Chromium: no layout, no faults, no drawing")
        return
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu"])
        look(browser, folder)
        lay_out(browser, folder, rounds)
        answer(browser, folder, rounds)
        browser.close()


def main() -> None:
    """Print everything."""
    size = len(built("page").encode())
    print(f"a page before data: {size:,} bytes (at most {LIMITS['letters before data']:,})")
    write_all()
    sample()
    in_browser(int(sys.argv[1]) if len(sys.argv) > 1 else 10)


if __name__ == "__main__":
    main()
