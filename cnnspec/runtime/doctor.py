"""What is installed, whether it works together, and the command that mends it. Imports torch only where it is there."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Final

from cnnspec.version import __version__

__all__ = ["Diagnosis", "Fact", "examine_installation"]

PACKAGES: Final = (
    "numpy", "pillow", "pydantic", "typer", "rich", "torch", "torchvision", "torchmetrics", "safetensors", "matplotlib",
    "scikit-learn", "onnx",
)  # fmt: skip
RUNTIMES: Final = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino")
SECONDS: Final = 60  # for one child process
_IMPORT: Final = "from cnnspec.runtime.session import import_onnxruntime; o = import_onnxruntime();"
_REMOTE: Final = "AzureExecutionProvider"  # asks a service over the network, and runs no node of its own
_LIBRARY: Final = re.compile(r"^\s*(\S+\.so\S*) => not found", re.MULTILINE)


@dataclass(frozen=True)
class Fact:
    """Something about the installation: `ok`, a `note`, or a `problem` with the command that mends it."""

    level: str
    subject: str
    message: str
    command: str | None = None


@dataclass(frozen=True)
class Library:
    """What was learned about torch or onnxruntime."""

    facts: tuple[Fact, ...]
    cuda: str | None = None  # the major version that it is built for; None where for none, or where it does not say


@dataclass(frozen=True)
class Diagnosis:
    """All facts, in the order in which they are worth reading."""

    facts: tuple[Fact, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing has to be mended."""
        return all(fact.level != "problem" for fact in self.facts)

    def to_dict(self) -> dict[str, object]:
        """The diagnosis as plain data."""
        return {"cnnspec": 1, "healthy": self.healthy, "findings": [asdict(fact) for fact in self.facts]}


def examine_installation() -> Diagnosis:
    """Look at versions, wheels, drivers and libraries, and run a network of one node on every provider."""
    system = f"{__version__} on Python {platform.python_version()}, {platform.platform()}"
    driver = _driver()
    torch = _torch(has_driver=driver.level == "ok")
    onnxruntime = _onnxruntime(has_driver=driver.level == "ok")
    facts = [Fact("ok", "cnnspec", system), _packages(), driver, *torch.facts, *onnxruntime.facts]
    return Diagnosis((*facts, *_cuda_versions(torch.cuda, onnxruntime.cuda)))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _major(cuda: str) -> str | None:
    """The major version of CUDA in an answer, where `-` is none."""
    major = cuda.partition(".")[0]
    return major if major.isdigit() else None


def _packages() -> Fact:
    versions = {package: _version(package) for package in PACKAGES}
    listed = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        extra = "onnx" if missing == ["onnx"] else "all"
        message = f"{listed}; not installed: {', '.join(missing)}"
        return Fact("note", "packages", message, f"pip install 'cnnspec[{extra}]'")
    return Fact("ok", "packages", listed)


def _driver() -> Fact:
    """NVIDIA's driver, asked directly."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Fact("note", "NVIDIA driver", "there is none, so that everything runs on the CPU")
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    failed = library.cuInit(0) or library.cuDeviceGetCount(ctypes.byref(count))
    if failed or library.cuDriverGetVersion(ctypes.byref(version)):
        return Fact("problem", "NVIDIA driver", f"it is there, but does not start (error {failed})", "nvidia-smi")
    supports = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return Fact("ok", "NVIDIA driver", f"{count.value} devices, for CUDA up to {supports}")


def _torch(*, has_driver: bool) -> Library:
    """Asked in a child process: importing torch takes seconds, and may fail in ways that end a process."""
    if importlib.util.find_spec("torch") is None:
        message = "not installed: training and verification need it"
        return Library((Fact("note", "torch", message, "pip install 'cnnspec[train]'"),))
    code = (
        "import torch; print(torch.__version__, torch.version.cuda or '-', torch.cuda.is_available(),"
        " torch.backends.cudnn.version() if torch.version.cuda else '-')"
    )
    answer, error = _child(code)
    if answer is None:
        message = f"it cannot be imported: {error}"
        return Library((Fact("problem", "torch", message, "pip install --force-reinstall torch"),))
    version, cuda, usable, cudnn = answer.split()
    built = "without CUDA" if cuda == "-" else f"for CUDA {cuda}, cuDNN {cudnn}"
    if usable == "True":
        fact = _convolution(f"{version}, built {built}")
    elif has_driver:
        command = "pip install --force-reinstall torch torchvision"
        fact = Fact("problem", "torch", f"{version}, built {built}; it cannot use the GPU", command)
    else:
        fact = Fact("ok", "torch", f"{version}, built {built}; runs on the CPU")
    return Library((fact,), _major(cuda))


def _convolution(about: str) -> Fact:
    """A convolution on every card: a driver that starts does not say that this torch has kernels for them."""
    code = (
        "import torch\nfor i in range(torch.cuda.device_count()):\n"
        " try:\n  x = torch.ones(1, 1, 3, 3, device=f'cuda:{i}'); torch.nn.functional.conv2d(x, x).item()\n"
        " except RuntimeError as e:\n"
        "  print(f'cuda:{i}, {torch.cuda.get_device_name(i)}: {str(e).strip().splitlines()[0]}'); break\n"
        "else:\n print('done')"
    )
    answer, error = _child(code)
    if answer == "done":
        return Fact("ok", "torch", f"{about}; a convolution runs on the GPU")
    command = "pip install --force-reinstall torch torchvision"
    return Fact("problem", "torch", f"{about}; no convolution runs on {answer or f'the GPU: {error}'}", command)


def _onnxruntime(*, has_driver: bool) -> Library:
    wheels = {name: version for name in RUNTIMES if (version := _version(name))}
    if not wheels:
        message = "not installed: `predict` needs it"
        return Library((Fact("note", "onnxruntime", message, "pip install 'cnnspec[onnx]'"),))
    listed = ", ".join(f"{name} {version}" for name, version in wheels.items())
    facts = []
    if len(wheels) > 1:
        keep = "onnxruntime-gpu" if "onnxruntime-gpu" in wheels else next(iter(wheels))
        facts.append(
            Fact(
                "problem",
                "onnxruntime",
                f"{listed}: they overwrite each other's files, and one of them silently wins",
                f"pip uninstall -y {' '.join(wheels)} && pip install {keep}",
            )
        )
    code = (
        f"{_IMPORT} b = getattr(o.capi, 'build_and_package_info', None);"
        " print(o.__version__, getattr(b, 'cuda_version', '') or '-', *o.get_available_providers())"
    )
    answer, error = _child(code)
    if answer is None:
        command = f"pip install --force-reinstall {next(iter(wheels))}"
        broken = Fact("problem", "onnxruntime", f"{listed} cannot be imported: {error}", command)
        return Library((*facts, broken))
    version, cuda, *providers = answer.split()
    built = "" if cuda == "-" else f", built for CUDA {cuda}"
    facts.append(Fact("ok", "onnxruntime", f"{version} ({listed}){built}"))
    for provider in providers:
        if provider != _REMOTE:
            facts.append(_provider(provider, _major(cuda), has_driver=has_driver))
    if has_driver and "CUDAExecutionProvider" not in providers:
        command = f"pip uninstall -y {' '.join(wheels)} && pip install onnxruntime-gpu"
        facts.append(Fact("problem", "onnxruntime", "this build cannot use the GPU that is there", command))
    return Library(tuple(facts), _major(cuda))


def _cuda_versions(torch: str | None, onnxruntime: str | None) -> list[Fact]:
    """Whether torch and onnxruntime want the same CUDA: torch's wheels bring libraries that onnxruntime can use."""
    if torch is None or onnxruntime is None or torch == onnxruntime:
        return []
    message = (
        f"torch is built for CUDA {torch} and onnxruntime for CUDA {onnxruntime}, so that torch's libraries are of no"
        " use to onnxruntime"
    )
    return [Fact("note", "CUDA", message, "pip install 'onnxruntime-gpu[cuda,cudnn]'")]


def _provider(provider: str, cuda: str | None, *, has_driver: bool) -> Fact:
    """A network of one node on this provider."""
    code = (
        f"{_IMPORT} import sys;"
        " getattr(o, 'preload_dlls', lambda: None)() if 'CPU' not in sys.argv[1] else None;"
        " s = o.SessionOptions(); s.log_severity_level = 4;"
        " s.add_session_config_entry('session.record_ep_graph_assignment_info', '1');"
        " r = o.InferenceSession(bytes.fromhex(sys.argv[2]), s, providers=[sys.argv[1]]);"
        " import numpy; r.run(None, {'x': numpy.ones((1, 2), numpy.float32)});"
        " ran = getattr(r, 'get_provider_graph_assignment_info', None);"
        " print(ran()[0].ep_name if ran else r.get_providers()[0])"
    )
    answer, error = _child(code, provider, _one_node().hex())
    if answer == provider:
        return Fact("ok", provider, "a network of one node runs on it")
    if not has_driver and not provider.startswith("CPU"):
        return Fact("note", provider, "compiled in, and not usable without a device")
    missing = _missing_libraries(provider)
    if provider.startswith("Tensorrt"):
        return Fact("note", provider, f"not usable; {missing}", "pip install tensorrt")
    command = "pip install 'onnxruntime-gpu[cuda,cudnn]'" if cuda is not None else "pip install onnxruntime-gpu"
    what = f"the session silently uses {answer}" if answer else f"it fails: {error}"
    return Fact("problem", provider, f"{what}; {missing}", command)


def _missing_libraries(provider: str) -> str:
    """What the provider's own library cannot find, where the system can tell."""
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None or sys.platform != "linux":
        return "which of its libraries are missing cannot be told on this system"
    name = provider.removesuffix("ExecutionProvider").lower()
    library = Path(spec.origin).parent / "capi" / f"libonnxruntime_providers_{name}.so"
    try:
        listing = subprocess.run(["ldd", str(library)], capture_output=True, text=True, check=False, timeout=SECONDS)
    except (OSError, subprocess.SubprocessError):
        return "its libraries could not be listed"
    missing = sorted(set(_LIBRARY.findall(listing.stdout)))
    return f"missing: {', '.join(missing)}" if missing else "its libraries are all found"


def _child(code: str, *arguments: str) -> tuple[str | None, str]:
    """The last line that `code` prints in a process of its own, or None and the last line of its error."""
    command = [sys.executable, "-P", "-c", code, *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=SECONDS, env=dict(os.environ)
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {SECONDS} seconds"
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        return lines[-1], ""
    complaints = done.stderr.strip().splitlines()
    return None, (complaints[-1] if complaints else f"the process ended with {done.returncode}")[:300]


def _one_node() -> bytes:
    """`y = Relu(x)` for x of 1x2, opset 13, written by hand: onnx need not be installed."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def value(name: bytes) -> bytes:
        sizes = field(1, b"\x08\x01") + field(1, b"\x08\x02")
        return field(1, name) + field(2, field(1, b"\x08\x01" + field(2, sizes)))

    node = field(1, b"x") + field(2, b"y") + field(4, b"Relu")
    graph = field(1, node) + field(2, b"g") + field(11, value(b"x")) + field(12, value(b"y"))
    return b"\x08\x07" + field(7, graph) + field(8, b"\x10\x0d")
