"""A spec from a stranger is safe to open: nothing in it is executed, and nothing but the spec error escapes."""

from __future__ import annotations

import ast
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mutations import mutants

import cnnspec
from cnnspec.diagnostics import render_all
from cnnspec.errors import SpecError
from cnnspec.language import read_spec
from cnnspec.language.evaluate import evaluate
from cnnspec.language.expression import ExpressionError, parse_expression

PACKAGE = Path(cnnspec.__file__).parent
ON_THE_PATH = [
    *sorted((PACKAGE / "language").glob("*.py")),
    *sorted((PACKAGE / "ops").glob("*.py")),
    *(PACKAGE / name for name in ("zoo.py", "graph.py", "errors.py", "codes.py", "files.py")),
]
DANGEROUS = {
    "eval", "exec", "compile", "__import__", "import_module", "globals", "locals", "vars", "system", "popen",
    "breakpoint", "setattr", "delattr", "unsafe_load", "full_load", "load_all", "literal_eval",
}  # fmt: skip
MODULES = {
    "pickle", "marshal", "shelve", "dill", "subprocess", "importlib", "runpy", "ctypes", "code", "builtins", "torch",
    "socket", "multiprocessing", "warnings",  # whose filters are the whole process's
}  # fmt: skip


@pytest.mark.parametrize("path", ON_THE_PATH, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_nothing_on_the_path_executes(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            allowed = called == "compile" and ast.unparse(node.func) == "re.compile"
            assert called not in DANGEROUS or allowed, ast.unparse(node)
        if isinstance(node, ast.Attribute):
            assert not (isinstance(node.value, ast.Name) and node.value.id == "os" and node.attr.startswith("exec"))
        if isinstance(node, ast.Import):
            assert not {alias.name.split(".")[0] for alias in node.names} & MODULES
        if isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in MODULES


def test_the_path_is_all_there() -> None:
    assert len(ON_THE_PATH) >= 25


PAYLOADS = [
    "__import__('os').system('touch PWNED')",
    "eval('1')",
    'exec(\'open("PWNED", "w")\')',
    "open('PWNED', 'w')",
    "().__class__.__bases__[0].__subclasses__()",
    "[].__class__.__mro__",
    "(lambda: open('PWNED', 'w'))()",
    "min.__globals__",
    "min.__self__.__import__('os')",
    "len.__call__(open)",
    'f\'{open("PWNED", "w")}\'',
    "'{0.__class__}'.format(1)",
    "'%s' % 1",
    "getattr(min, '__self__')",
    "type('X', (), {})",
    "[c for c in ().__class__.__base__.__subclasses__()]",
    "{}.__class__",
    "globals()",
    "vars()",
    "breakpoint()",
    "input()",
    "help()",
    "print(1)",
    "max([1], key=open)",
    "min(*[open])",
    "(x := open)",
    "yield open",
    "await open",
    "int.from_bytes(b'a')",
    "round.__self__",
    "sum([open])",
    "9**9**9**9",
    "[0] * 10**10",
    "'a' * 10**10",
    "round(1, -10**10)",
    "1 << 10**10",
    "in_channels.__class__",
    "i.__class__",
    "BatchNorm2d.__init__",
    "Conv2d.model_validate",
]


def test_there_are_thirty_payloads() -> None:
    assert len(PAYLOADS) >= 30


@pytest.mark.parametrize("payload", PAYLOADS)
def test_payloads_do_nothing(payload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExpressionError):
        evaluate(parse_expression(payload), {"in_channels": 3, "i": 0})
    with pytest.raises(cnnspec.UsageError):
        cnnspec.loads("cnnspec: 1\ninput: 3\nparams: {a: 1}\nlayers: [ReLU]\n", params={"a": payload})
    quoted = payload.replace("\\", "\\\\").replace('"', '\\"')
    where = (
        f'params: {{a: "{quoted}"}}\nlayers: [ReLU]\n',
        f'let: {{a: "{quoted}"}}\nlayers: [ReLU]\n',
        f'layers:\n  - {{type: Conv2d, out_channels: "{quoted}", kernel_size: 1}}\n',
        f'layers:\n  - {{type: ReLU, repeat: "{quoted}"}}\n',
        f'layers:\n  - {{type: ReLU, when: "{quoted}"}}\n',
        f'layers:\n  - "Conv2d({quoted}, 1)"\n',
        f'layers:\n  - "{quoted}"\n',
        f'layers:\n  - "ReLU()({quoted})"\n',
        f'layers:\n  - "ReLU if {quoted}"\n',
        f'layers:\n  "a{{{quoted}}}": ReLU\n',
        f'layers:\n  - {{type: "{quoted}"}}\n',
        f'layers:\n  - {{type: ReLU, in: "{quoted}"}}\n',
        f'outputs: ["{quoted}"]\nlayers: [ReLU]\n',
        f'blocks: {{"{quoted}": {{layers: [ReLU]}}}}\nlayers: [ReLU]\n',
    )
    for body in where:
        with pytest.raises(SpecError):
            cnnspec.loads(f"cnnspec: 1\ninput: [3, 8, 8]\n{body}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "body",
    [
        "params: {a: [" + "1," * 498 + "1]}\nlayers: ['ReLU * 20000 if " + " + ".join(["sum(a)"] * 30) + " < 0']\n",
        "params: {a: [" + "1," * 498 + "1]}\nlayers: ['ReLU * 20000 if " + " or ".join(["a != a"] * 30) + "']\n",
        "blocks:\n"
        + "".join(f"  B{n}: {{layers: [B{n + 1}, B{n + 1}]}}\n" for n in range(30))
        + "  B30: {layers: [ReLU * 0]}\nlayers: [B0]\n",
        "layers:\n  - {layers: [{type: ReLU, repeat: 20000, when: false}], repeat: 20000}\n",
        "layers:\n  - {layers: ['Conv2d(i + 1, 1) if " + "i == 0 and " * 60 + "i > 0'], repeat: 20000}\n",
    ],
)
def test_work_is_bounded_whatever_it_is(body: str) -> None:
    start = time.process_time()
    with pytest.raises(SpecError) as caught:
        cnnspec.loads("cnnspec: 1\ninput: [3, 8, 8]\n" + body)
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"E113"}
    assert time.process_time() - start < 6  # two on a quiet machine


def survive(name: str, data: bytes) -> bool:
    """Whether a text is a good spec. Anything but a SpecError or UsageError fails the test, and so does slowness."""
    start = time.process_time()
    fault: cnnspec.CnnspecError | None = None
    try:
        source = read_spec(name, data)
        source.elaborate()
        for variant in list(source.document.variants)[:2]:
            source.elaborate(variant=variant)
    except (SpecError, cnnspec.UsageError) as error:
        fault = error
    if isinstance(fault, SpecError):
        assert 1 <= len(fault.diagnostics) <= 100
        render_all(fault.diagnostics[:5], name, fault.text)
    assert time.process_time() - start < 3 * 2, (name, data[:400])  # of this process, for up to three graphs
    return fault is None


def many(seed: int, count: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    good = sum(survive(name, data) for name, data in mutants(seed, count))
    assert 0 < good < count
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300 * 1024  # kilobytes


@pytest.mark.parametrize("seed", range(4))
def test_mutants(seed: int) -> None:
    many(seed, 500)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 118))
def test_more_mutants(seed: int) -> None:
    many(seed, 1000)


def test_opening_a_spec_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, cnnspec; cnnspec.load('lenet5');"
        "sys.exit(bool({'torch', 'onnx', 'pickle5', 'rich', 'typer', 'subprocess'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=True)
