"""A child process that loads and runs ONNX files from strangers, so that a malicious one takes only the child down.

Run as `python -m cnnspec.runtime.trial`: it reads files from stdin, each after its length as eight bytes, and answers
each with one line of JSON. `Trial` is the caller's side; one worker serves many files and is started anew when one
kills it.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, Self

from cnnspec.errors import CnnspecError, MissingExtraError

__all__ = ["MAX_NODES", "SECONDS", "Trial"]

SECONDS: Final = 60.0  # for one file
MAX_NODES: Final = 200_000
MEMORY: Final = 8 * 2**30  # bytes of address space, and four times the file
CRASHED: Final = "it crashed the process that tried it"
DOMAINS: Final = ("", "ai.onnx", "com.microsoft")


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

    def run(self, model: bytes, shown: str) -> None:
        """Load and run a file in the child. Raises CnnspecError where that fails, kills the child or takes too long."""
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
            child.stdin.write(struct.pack("<Q", len(model)))
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


def examine(model: bytes) -> None:
    """Load a model and run it once on zeros. Raises CnnspecError for what is refused or fails."""
    from cnnspec.runtime.session import open_session

    _check_structure(model)
    session = open_session(model, "the file", device="cpu", threads=1)
    feeds = {}
    for given in session.get_inputs():
        feeds[given.name] = _zeros(given)
    if any(value is None for value in feeds.values()):
        return  # sizes that only its maker knows
    try:
        session.run(None, feeds)
    except Exception as error:  # onnxruntime's errors have no common base below Exception
        from cnnspec.runtime.session import first_line

        raise CnnspecError(f"onnxruntime cannot run it: {first_line(error)}") from None


def _check_structure(data: bytes) -> None:
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's DecodeError, and what the text in it can cause
        raise CnnspecError(f"it is no ONNX file: {error!s:.200}") from None
    if len(model.graph.node) > MAX_NODES:
        raise CnnspecError(f"it has {len(model.graph.node):,} nodes, and at most {MAX_NODES:,} are taken")
    for part in _parts(model):
        _check_part(part)
    try:
        onnx.checker.check_model(model)
    except Exception as error:  # the checker's errors have no common base below Exception
        raise CnnspecError(f"it is no valid ONNX file: {str(error).splitlines()[0]:.200}") from None


def _parts(model: Any) -> Iterator[Any]:
    """Every message inside a message, however deep: a list of the places to look at would miss one."""
    waiting = [model]
    while waiting:
        part = waiting.pop()
        yield part
        for field, value in part.ListFields():
            if field.message_type is not None:
                waiting.extend([value] if hasattr(value, "ListFields") else value)


def _check_part(part: Any) -> None:
    """Raise CnnspecError for what no file may have, wherever it stands."""
    match part.DESCRIPTOR.full_name.removeprefix("onnx."):
        case "TensorProto" if part.external_data or part.data_location:
            raise CnnspecError("it wants to read other files (external data), which is refused")
        case "SparseTensorProto":
            raise CnnspecError("it has sparse tensors, which are not taken")
        case "FunctionProto":
            raise CnnspecError("it brings functions of its own, which are not taken")
        case "TrainingInfoProto":
            raise CnnspecError("it brings a training of its own, which is not taken")
        case "AttributeProto" if part.HasField("g") or part.graphs:
            raise CnnspecError("it has a control-flow operator, which is not taken")
        case "NodeProto" if part.domain not in DOMAINS:
            raise CnnspecError(f"it wants operators of `{part.domain:.80}`, which are not taken")
        case "NodeProto" if part.op_type == "EPContext":  # an engine of a device, in a file beside the model
            raise CnnspecError("it wants to read other files (`EPContext`), which is refused")


def _zeros(given: Any) -> Any:
    import numpy as np

    kinds = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}
    sizes = [size if isinstance(size, int) else (1 if axis == 0 else 0) for axis, size in enumerate(given.shape)]
    if given.type not in kinds or not all(0 < size <= 2**16 for size in sizes) or np.prod(sizes) > 2**28:
        return None
    return np.zeros(sizes, kinds[given.type])


def _limit(size: int) -> None:
    """Bound what this process may take from the machine."""
    try:
        import resource
    except ImportError:  # there are no such limits on Windows
        return
    most = MEMORY + 4 * size
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.getrlimit(resource.RLIMIT_AS)[1]))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def main() -> None:
    """Serve files until stdin ends."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    while len(head := sys.stdin.buffer.read(8)) == 8:
        (size,) = struct.unpack("<Q", head)
        model = sys.stdin.buffer.read(size)
        _limit(size)
        error: str | None = None
        missing: str | None = None
        try:
            examine(model)
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
