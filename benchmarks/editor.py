"""What one edit costs an editor, and how many hints a mistake leaves; processor time, in this process.

    python benchmarks/editor.py [ROUNDS]

An edit is a new text, looked at with what was known before it, and all its hints. `prefixes` types every line anew,
letter by letter, and counts the hints that are left while it is broken.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable

from cnnspec import zoo
from cnnspec.analysis.explain import explain
from cnnspec.editor.hints import hints
from cnnspec.editor.snapshot import Choice, Snapshot, look

EDITED = (("efficientnet_b0", "efficientnet_b7", 60), ("resnet18", None, 10))
TYPED = ("lenet5", "resnet18", "googlenet", "densenet121", "mobilenet_v2", "unet", "vgg11", "m5", "nin", "zfnet")


def resized(text: str) -> str:
    """The text with another input: every shape below changes."""
    return text.replace("224, 224", "232, 232", 1).replace("size: 600", "size: 608", 1)


EDITS: dict[str, Callable[[str], str]] = {
    "a remark": lambda text: f"{text}# remark\n",
    "a number": lambda text: text.replace("Conv2d(", "Conv2d(1", 1),
    "a misspelt layer that all blocks use": lambda text: text.replace("BatchNorm2d", "BatchNorm2", 1),
    "no YAML": lambda text: text.replace("[", "{", 1),
    "an input of another size": resized,
    "a misspelt layer since it is of another size": lambda text: resized(text).replace("BatchNorm2d", "BatchNorm2", 1),
}


def text_of(name: str) -> str:
    """The text of a bundled spec."""
    return zoo.find(name)[0].read_text("utf-8")


def edits(rounds: int) -> None:
    """Milliseconds of an edit."""
    for name, variant, wanted in EDITED:
        text = text_of(name)
        good = look(text, choice=Choice(variant))
        hints(good)
        for what, edit in EDITS.items():
            took = []
            for _ in range(rounds):
                start = time.process_time()
                shown = hints(look(edit(text), before=good))
                took.append(1000 * (time.process_time() - start))
            middle = statistics.median(took)
            title = f"{variant or name}, {what}"
            spread = f"{min(took):.1f} to {max(took):.1f}"
            print(f"{title:<60}{middle:7.1f} ms ({spread}), {len(shown)} hints, at most {wanted}")


def kept(good: Snapshot) -> tuple[int, int]:
    """Hints that are left and hints that there were, over all texts with one line cut short that are broken."""
    all_lines = {hint.line for hint in hints(good)}
    left = there = 0
    for number, line in enumerate(good.lines):
        for length in range(len(line) - len(line.lstrip()), len(line)):
            typed = look("\n".join([*good.lines[:number], line[:length], *good.lines[number + 1 :]]), before=good)
            if not typed.is_good:
                left += len(all_lines & {hint.line for hint in hints(typed)})
                there += len(all_lines)
    return left, there


def prefixes() -> None:
    """The share of hints that is left."""
    for name in TYPED:
        left, there = kept(look(text_of(name)))
        print(f"{name:<60}{left / there:7.2%} of the hints are left, at least 95 %")


def explanations() -> None:
    """Seconds to explain every layer of a network."""
    snapshot = look(text_of("densenet121"), choice=Choice("densenet201"))
    start = time.process_time()
    for node in snapshot.known:
        explain(snapshot.known, snapshot.report, node.name, snapshot.figures.states)
    seconds = time.process_time() - start
    print(f"{'all layers of densenet201 explained':<60}{seconds:7.2f} s, at most 0.3")


if __name__ == "__main__":
    gc.set_threshold(100_000)  # as `cnnspec` does when it starts
    edits(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
    explanations()
    prefixes()
