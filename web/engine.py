"""Writes `cnnspec/web/onnxruntime.wasm.xz`, the engine of pages in which a network runs, from what npm installed.

    python web/engine.py

A file that unpacks to the same is left as it is: other versions of the compressor write other bytes.
"""

from __future__ import annotations

import lzma
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SOURCE: Final = ROOT / "web" / "node_modules" / "onnxruntime-web" / "dist" / "ort-wasm-simd-threaded.wasm"
TARGET: Final = ROOT / "cnnspec" / "web" / "onnxruntime.wasm.xz"

if __name__ == "__main__":
    engine = SOURCE.read_bytes()
    if not TARGET.is_file() or lzma.decompress(TARGET.read_bytes()) != engine:
        TARGET.write_bytes(lzma.compress(engine, preset=9 | lzma.PRESET_EXTREME))
    print(f"{TARGET.relative_to(ROOT)}: {TARGET.stat().st_size:,} bytes")
