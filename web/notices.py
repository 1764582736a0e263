"""Writes `cnnspec/web/NOTICES.txt`: whose work the built pages hold, and under which licences.

    python web/notices.py

Counted are the packages that pages are made of, with what those need, and not the tools that build and test them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
MODULES: Final = ROOT / "web" / "node_modules"
TARGET: Final = ROOT / "cnnspec" / "web" / "NOTICES.txt"
TOOLS: Final = frozenset({"@sveltejs/vite-plugin-svelte", "axe-core", "svelte-check", "typescript", "vite", "vitest"})
# What the packages need to be compiled and not to run.
NOT_IN_PAGES: Final = ("@types/", "@typescript-eslint/", "@sveltejs/", "@jridgewell/", "acorn", "magic-string")


def package(name: str) -> dict[str, Any]:
    """What a package says of itself; nothing where it is not installed, as for other systems."""
    path = MODULES / name / "package.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def needed() -> list[str]:
    """The names of the packages that are in the pages."""
    wanted = json.loads((ROOT / "web" / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    waiting, found = [name for name in wanted if name not in TOOLS], set[str]()
    while waiting:
        name = waiting.pop()
        if name in found or name.startswith(NOT_IN_PAGES) or not package(name):
            continue
        found.add(name)
        waiting += package(name).get("dependencies", {})
    return sorted(found)


def notice(name: str) -> tuple[str, str]:
    """A package with its version and licence, and the text of the licence where the package has it."""
    about = package(name)
    author = about.get("author", "")
    author = author.get("name", "") if isinstance(author, dict) else re.split(r" [<(]", author)[0]
    by = f", {author}" if author else ""
    texts = sorted(path for path in (MODULES / name).iterdir() if path.stem.upper() in ("LICENSE", "LICENCE"))
    text = "\n".join(texts[0].read_text(encoding="utf-8").split("\r\n")).strip() if texts else ""
    return f"{name} {about['version']}{by} ({about.get('license', 'see its text')})", text


if __name__ == "__main__":
    by_text: dict[str, list[str]] = {}
    for name in needed():
        title, text = notice(name)
        by_text.setdefault(text, []).append(title)
    parts = ["The built pages hold work of others:"]
    for text, titles in sorted(by_text.items(), key=lambda item: item[1]):
        parts += ["\n".join(f"- {title}" for title in titles), *([text] if text else [])]
    TARGET.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(needed())} packages")
