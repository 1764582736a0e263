"""A child process that loads and runs ONNX files from strangers, so that a malicious one takes only the child down.

Run as `python -m cnnspec.runtime.trial`: it reads files from stdin, each after its length and a shape, and answers each
with one line of JSON. `Trial` is the caller's side; one worker serves many files and is started anew when one
kills it.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from contextlib import suppress
from math import prod
from typing import TYPE_CHECKING, Any, Final, Self

from cnnspec.errors import CnnspecError, MissingExtraError
from cnnspec.images import channels_last
from cnnspec.onnx_backend.guard import check_parts, parsed
from cnnspec.ops import Shape

if TYPE_CHECKING:
    from cnnspec.onnx_backend.metadata import Metadata

__all__ = ["SECONDS", "Trial"]

SECONDS: Final = 60.0  # for one file
MEMORY: Final = 8 * 2**30  # bytes of address space, and four times the file
MAX_VALUES: Final = 2**28  # of one input
CRASHED: Final = "it crashed the process that tried it"


class Trial:
    """Tries files in a child process. Use it as a context manager, or call `close`."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self.seconds = seconds
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child."""
        if self._child is not None:
            self._child.kill()
            with suppress(OSError):  # what was still to be written has no reader
                self._child.communicate()
            self._child.wait()
            self._child = None

    def run(self, model: bytes, shown: str, input_shape: Shape = ()) -> None:
        """Load and run a file in the child. Raises CnnspecError where that fails, kills the child or takes too long.

        `input_shape`, `(C, ...)`, is what it is run at where its own sizes are free; by default what its metadata say.
        """
        child = self._child or self._start()
        self._child = child
        assert child.stdin is not None
        assert child.stdout is not None
        late = threading.Event()

        def give_up() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(self.seconds, give_up)
        timer.start()  # a child that hangs may neither read nor write
        try:
            child.stdin.write(struct.pack("<QQ", len(model), len(input_shape)))
            child.stdin.write(struct.pack(f"<{len(input_shape)}Q", *input_shape))
            child.stdin.write(model)
            child.stdin.flush()
            line = child.stdout.readline()
        except OSError:
            line = b""
        finally:
            timer.cancel()
        if not line:
            self.close()
            reason = f"it was still not done after {self.seconds:g} seconds" if late.is_set() else CRASHED
            raise CnnspecError(f"{shown} is refused: {reason}")
        answer: dict[str, Any] = json.loads(line)
        if answer.get("missing"):
            raise MissingExtraError(answer["missing"], "onnx")
        if answer.get("error"):
            raise CnnspecError(f"{shown}: {answer['error']}")

    def _start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "cnnspec.runtime.trial"]  # -P: nothing is imported from where we are
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
        )


def examine(model: bytes, input_shape: Shape) -> None:
    """Load a model and run it once on zeros. Raises CnnspecError for what is refused or fails."""
    from cnnspec.runtime.session import first_line, open_session

    _check_structure(model)
    session = open_session(model, "the file", device="cpu", threads=1)
    about = _facts(session.get_modelmeta().custom_metadata_map)
    shape = input_shape or (about.input_shape if about is not None else ())
    free = (1, *(channels_last(shape) if about is not None and about.bytes_last else shape))
    feeds = {given.name: _zeros(given, free) for given in session.get_inputs()}
    if any(value is None for value in feeds.values()):
        return  # of types and sizes that only its maker knows: nothing runs it
    try:
        session.run(None, feeds)
    except Exception as error:  # onnxruntime's errors have no common base below Exception
        raise CnnspecError(f"onnxruntime cannot run it: {first_line(error)}") from None


def _check_structure(data: bytes) -> None:
    import onnx

    model = parsed(data)
    check_parts(model)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's errors have no common base below Exception
        raise CnnspecError(f"it is no valid ONNX file: {str(error).splitlines()[0]:.200}") from None


def _facts(properties: dict[str, str]) -> Metadata | None:
    """What a file says about itself; None where it says nothing that can be read."""
    from cnnspec.onnx_backend.metadata import read_metadata

    try:
        return read_metadata(properties, "the file")
    except CnnspecError:
        return None


def _zeros(given: Any, free: Shape) -> Any:
    """Zeros for an input, with the sizes `free` where its own are; None where nothing says them, and for other types.

    Raises CnnspecError where they are too many.
    """
    import numpy as np

    kinds = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}
    own: list[int | None] = [size if isinstance(size, int) else None for size in given.shape]
    told = free if len(free) == len(own) else (1, *[0] * len(own))
    sizes = [size if size is not None else other for size, other in zip(own, told, strict=False)]
    if given.type not in kinds or 0 in sizes:
        return None
    if prod(sizes) > MAX_VALUES:
        raise CnnspecError(f"its input has {prod(sizes):,} numbers, and at most {MAX_VALUES:,} are tried")
    return np.zeros(sizes, kinds[given.type])


def _limit(size: int) -> None:
    """Bound what this process may take from the machine, also when nobody waits for its answer any more."""
    try:
        import resource
    except ImportError:  # there are no such limits on Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(
        used.ru_utime + used.ru_stime + 2 * SECONDS
    )  # of processors; with one thread the caller ends it first
    for kind, most in ((resource.RLIMIT_AS, MEMORY + 4 * size), (resource.RLIMIT_CPU, seconds)):
        hard = resource.getrlimit(kind)[1]  # which may be lower already
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    """Serve files until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    while len(head := sys.stdin.buffer.read(16)) == 16:
        size, axes = struct.unpack("<QQ", head)
        input_shape = struct.unpack(f"<{axes}Q", sys.stdin.buffer.read(8 * axes))
        model = sys.stdin.buffer.read(size)
        _limit(size)
        error: str | None = None
        missing: str | None = None
        try:
            examine(model, input_shape)
        except ModuleNotFoundError as problem:
            missing = problem.name
        except CnnspecError as problem:
            error = problem.message
        except MemoryError:
            error = "it wants more memory than a model of its size may have"
        except Exception as problem:
            error = f"it cannot be read: {type(problem).__name__}: {problem!s:.200}"
        answers.write(json.dumps({"error": error, "missing": missing}).encode() + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
