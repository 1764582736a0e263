"""Opening ONNX files with onnxruntime: quietly, on the device that was asked for, with errors that people can read."""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from cnnspec.errors import CnnspecError, UsageError, needs_extra
from cnnspec.limits import MAX_THREADS

__all__ = [
    "BATCH_SIZE", "DEVICES", "check_device", "check_threads", "cuda_devices", "engine_folder", "first_line",
    "import_onnxruntime", "nodes_by_provider", "onnxruntime", "open_session", "provider_of",
]  # fmt: skip

DEVICES: Final = ("auto", "cpu", "cuda", "tensorrt")  # the last two with `:1` for the second card
BATCH_SIZE: Final = 64
PROVIDERS: Final = {
    "cpu": ["CPUExecutionProvider"],
    "cuda": ["CUDAExecutionProvider"],
    "tensorrt": ["TensorrtExecutionProvider", "CUDAExecutionProvider"],
}
Provider = tuple[str, dict[str, str]]  # with its options
_NOTHING: Final = 4  # severity: fatal only. What fails is raised, and reported once


@dataclass(frozen=True, slots=True)
class _Tuning:
    """How a session uses cores and memory."""

    threads: int | None
    arena: bool
    spin: bool


@cache
def onnxruntime() -> Any:
    """The module onnxruntime, silenced. Raises MissingExtraError, and CnnspecError where it cannot be imported."""
    try:
        with needs_extra("onnx"):
            return import_onnxruntime()
    except ImportError as error:
        message = f"onnxruntime cannot be imported: {first_line(error)}"
        raise CnnspecError(message, hint="`cnnspec doctor` says how to mend it") from None


def import_onnxruntime() -> Any:
    """The only place where onnxruntime is imported: it sends nothing home, and stdout is left alone.

    Raises what the import raises.
    """
    # Importing it writes an identifier of the machine and a message for its maker below HOME; afterwards is too late.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    with _stdout_spared():
        import onnxruntime as module
    module.set_default_logger_severity(_NOTHING)
    return module


_sparing: Final = threading.Lock()  # there is one stdout, and who gives it back has to have taken it


@contextmanager
def _stdout_spared() -> Iterator[None]:
    """While entered, what is printed on stdout goes to stderr, from Python and from libraries in C alike."""
    with _sparing:
        with suppress(OSError, ValueError, AttributeError):  # it may be closed, or not there
            sys.stdout.flush()
        try:
            kept = os.dup(1)
        except OSError:
            kept = None
        try:
            if kept is not None:
                with suppress(OSError):
                    os.dup2(2, 1)
            with redirect_stdout(sys.stderr):
                yield
        finally:
            if kept is not None:
                if sys.platform != "win32":
                    ctypes.CDLL(None).fflush(None)  # what C keeps in its buffer until the process ends
                os.dup2(kept, 1)
                os.close(kept)


@cache
def cuda_devices() -> int:
    """How many devices NVIDIA's driver knows; 0 where there is no driver. Takes no library but the driver's own."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        count = ctypes.c_int(0)
        if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return 0
    except (OSError, AttributeError):
        return 0
    return count.value


def check_device(device: str) -> tuple[str, int]:
    """The kind of a device and its number, of `cuda:1`. Raises UsageError where there is no such kind."""
    kind, colon, number = device.partition(":")
    numbered = kind in ("cuda", "tensorrt") and re.fullmatch("[0-9]{1,4}", number)
    if kind not in DEVICES or (colon and not numbered):
        raise UsageError(f"there is no device `{device}`", hint=f"there are: {', '.join(DEVICES)}, cuda:1")
    return kind, int(number or 0)


def open_session(
    model: bytes,
    shown: str,
    *,
    device: str = "auto",
    allow_fallback: bool = False,
    threads: int | None = None,
    arena: bool = True,
    engines: Path | None = None,
    spin: bool = True,
) -> Any:
    """An `onnxruntime.InferenceSession` for a model in memory.

    What is asked for is what runs: `cuda` and `tensorrt` raise CnnspecError where they are not to be had, unless
    `allow_fallback`, which takes the next best. `auto` is `cuda` where there is such a device and onnxruntime can use
    it, else `cpu`. Without `arena` the memory of a run is given back after it, and without `spin` threads that wait for
    work sleep. TensorRT keeps what it builds in minutes in the folder `engines`, for the next process.
    """
    check_threads(threads)
    tuning = _Tuning(threads, arena, spin)
    wanted, number = check_device(device)
    if wanted == "auto":
        usable = "CUDAExecutionProvider" in onnxruntime().get_available_providers() and cuda_devices() > 0
        wanted, allow_fallback = ("cuda" if usable else "cpu"), True
    if wanted == "cpu":
        return _create(model, shown, PROVIDERS["cpu"], tuning)
    session, why = _on_gpu(model, shown, _providers(wanted, number, engines), tuning)
    if session is not None:
        return session
    if not allow_fallback:
        raise CnnspecError(
            f"the model does not run on {device}: {why}",
            hint="`cnnspec doctor` says what is missing; `predict --allow-fallback` takes the next best device",
        )
    best = f"cuda:{number}" if wanted == "tensorrt" else "cpu"
    return open_session(model, shown, device=best, allow_fallback=True, threads=threads, arena=arena, spin=spin)


def check_threads(threads: int | None) -> None:
    """Raise UsageError for a number of threads that no process can have."""
    if threads is not None and not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"{threads:,} threads: there are 1 to {MAX_THREADS:,}")


def engine_folder(path: str, model: bytes) -> Path | None:
    """Where TensorRT keeps what it has built for this very model: beside it, below its digest; None where nothing can
    be written."""
    beside = Path(path)
    if not os.access(beside.parent, os.W_OK):
        return None
    return beside.with_name(f"{beside.name}.engines") / hashlib.sha256(model).hexdigest()[:32]


def _providers(device: str, number: int, engines: Path | None) -> list[Provider]:
    """The providers of a card, with their options."""
    found: list[Provider] = []
    for name in PROVIDERS[device]:
        options = {"device_id": str(number)}
        if name.startswith("Tensorrt") and engines is not None:
            options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": str(engines)}
            options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": str(engines)}
        found.append((name, options))
    return found


def _on_gpu(model: bytes, shown: str, providers: list[Provider], tuning: _Tuning) -> tuple[Any, str]:
    """A session whose first provider is the one wanted; or None, and the reason."""
    wanted, options = providers[0]
    if wanted not in onnxruntime().get_available_providers():
        return None, f"this onnxruntime was built without {wanted}"
    count = cuda_devices()
    if int(options["device_id"]) >= count:
        return None, f"there is no CUDA device {options['device_id']}" if count else "there is no CUDA device"
    if hasattr(onnxruntime(), "preload_dlls"):
        with _stdout_spared():  # it prints which are not there
            onnxruntime().preload_dlls()  # CUDA's libraries from their own wheels
    try:
        session = _create(model, shown, providers, tuning)
    except CnnspecError as error:
        return None, error.message
    if session.get_providers()[0] != wanted:
        return None, f"{wanted} could not be loaded"
    return session, ""


def _create(model: bytes, shown: str, providers: Sequence[str | Provider], tuning: _Tuning) -> Any:
    options = onnxruntime().SessionOptions()
    options.log_severity_level = _NOTHING
    options.add_session_config_entry("session.load_model_format", "ONNX")  # or it guesses by the first bytes
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for nodes_by_provider
    options.enable_cpu_mem_arena = tuning.arena
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(tuning.spin)))
    if tuning.threads is not None:
        options.intra_op_num_threads = tuning.threads
    try:  # without its own fallback, which it tells of on stdout
        session = onnxruntime().InferenceSession(model, options, providers=providers, enable_fallback=0)
    except Exception as error:  # onnxruntime's errors have no common base below Exception
        raise CnnspecError(f"onnxruntime cannot load {shown}: {first_line(error)}") from None
    session.disable_fallback()
    return session


def provider_of(session: Any) -> str:
    """The device that a session really uses: `cpu`, `cuda` or `tensorrt`."""
    return str(session.get_providers()[0]).removesuffix("ExecutionProvider").lower()


def nodes_by_provider(session: Any) -> dict[str, int] | None:
    """How many nodes of the model run where; None where this onnxruntime does not say."""
    assigned = getattr(session, "get_provider_graph_assignment_info", None)
    if assigned is None:
        return None
    counts: dict[str, int] = {}
    for part in assigned():
        name = str(part.ep_name).removesuffix("ExecutionProvider").lower()
        counts[name] = counts.get(name, 0) + len(part.get_nodes())
    return counts


def first_line(error: Exception) -> str:
    """The gist of one of onnxruntime's errors."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else type(error).__name__
    return text.removeprefix("[ONNXRuntimeError] : ")[:300]
