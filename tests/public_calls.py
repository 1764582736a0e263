"""Calls of everything public with values that no sensible caller would give."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
from torch import nn

import cnnspec
from cnnspec import api
from cnnspec.analysis.layer_sizes import Layer
from cnnspec.api import Spec, TrainConfig

SPEC: Final = "cnnspec: 1\nname: n\ninput: [1, 8, 8]\nlayers:\n  c: Conv2d(2, 3)\n  f: Flatten\n  out: Linear(10)\n"

SEARCHED: Final = SPEC + "params: {w: 2}\nsearch: {space: {w: [2, 3]}, trials: 1}\n"

FAST: Final = {"batch_size": 512, "epochs": 1, "threads": 1, "channels_last": False, "rotate": 0.0, "shift": 0}


class Odd:
    """An object like no other, which cannot even be shown."""

    def __repr__(self) -> str:
        raise RuntimeError("no")


class BytesPath:
    """A path of bytes, as `os.scandir(b".")` gives them."""

    def __fspath__(self) -> bytes:
        return b"spec.yaml"


# Whole numbers are out of every range or small, so that no call is sensible and takes for ever.
WRONG: Final[tuple[Callable[[], Any], ...]] = (
    *(lambda v=value: v for value in (
        None, True, False, 0, 1, -1, 2, 2**31, 2**63, -(2**63), 10**400, 10**5000, 0.5, -0.5, float("nan"),
        float("inf"), 1j, "", " ", "x", "-", "..", ".", "a\0b", "x" * 300, "x" * 5000, "\udcff", "\ud800", "\x1b[31m",
        "~nosuch/x", "/dev/null", "fp8", "1", "lenet5", "cuda:99", "W301", "spec.yaml", "spec.yaml/x", "cafe\u0301",
        b"", b"cnnspec: 1", b"\xff", memoryview(b"x"), bytearray(b"x"),
        (), [], {}, [None], [1], [-1], ["x"], (1, 8, 8), (0, 0, 0), ("1", 8, 8), [[]], {1: 2}, {"x": 1}, {"x": {}},
        [1, 8, 8], (2**31, 1, 1), set(), {"x"}, ..., NotImplemented, repr, range(3),
        Path("nothing"), Path("spec.yaml"), Path("."), slice(1),
    )),
    Odd, BytesPath, lambda: np.zeros((2, 2)), lambda: np.float64(1), lambda: np.int64(1), lambda: iter([1]),
    lambda: np.array("x"),
    lambda: (lambda *_: None), lambda: (value for value in "ab"), lambda: cnnspec.loads(SPEC), lambda: ValueError("x"),
)  # fmt: skip


@dataclass(frozen=True)
class Public:
    """Something public, and a call of it that is right."""

    function: Callable[..., Any]
    right: Mapping[str, Any]
    options: tuple[str, ...] = ()  # further keywords that may be given


def public_calls(run: Path, model: Path) -> dict[str, Public]:
    """Everything public by its name. `run` is a run's folder and `model` an exported file."""
    spec, predictor = cnnspec.loads(SPEC), cnnspec.Predictor(model, device="cpu")
    at_work = ("weights", "images", "data", "values", "live")
    where = ("variant", "params", "input_shape", "max_nodes", "purpose")
    return {
        "load": Public(cnnspec.load, {"spec": "spec.yaml"}, where),
        "loads": Public(cnnspec.loads, {"text": SPEC}, ("path", *where)),
        "build": Public(cnnspec.build, {"spec": spec}),
        "check": Public(
            cnnspec.check,
            {"spec": "spec.yaml"},
            ("text", "variant", "params", "select", "ignore", "max_nodes"),
        ),
        "code": Public(cnnspec.code, {"spec": spec, "output": "new.py", "force": True}, ("verify",)),
        "diff": Public(cnnspec.diff, {"before": spec, "after": spec}, ("purpose",)),
        "sizes": Public(cnnspec.sizes, {"spec": "spec.yaml"}, (*where, "layer", "output", "span")),
        "train": Public(
            cnnspec.train,
            {"spec": spec, "name": "t", "existing": "overwrite", **FAST},
            ("config", "runs", "progress", "shared", *TrainConfig.model_fields),
        ),
        "resume": Public(
            cnnspec.resume, {"run": run}, ("epochs", "patience", "device", "checkpoint_every", "progress", "shared")
        ),
        "evaluate": Public(cnnspec.evaluate, {"target": run, "device": "cpu"}, ("data", "data_dir", "split", "sheet")),
        "step": Public(
            cnnspec.step,
            {"spec": spec, "data": "digits"},
            ("image", "label", "data", "index", "invert", "lr", "momentum", "optimizer", "loss", "seed", "weights"),
        ),
        "draw_step": Public(api.draw_step, {"told": cnnspec.step(spec, data="digits"), "output": "step.html"}, ()),
        "export": Public(
            cnnspec.export,
            {"network": spec, "output": "out.onnx", "verify": False},
            (
                "weights",
                "seed",
                "report",
                "opset",
                "batch",
                "dynamic_size",
                "precision",
                "preprocess",
                "softmax",
                "outputs",
                "fold",
                "calibrate",
                "max_drop",
                "data_dir",
            ),
        ),
        "ready": Public(
            api.ready,
            {"network": spec, "weights": run, "device": "cpu"},
            ("allow_fallback", "threads", "batch_size", "invert", "max_pixels", "report"),
        ),
        "draw": Public(
            api.draw, {"network": spec, "output": "drawn.svg"}, ("depth", "purpose", "beside", *at_work, "report")
        ),
        "draw_bytes": Public(api.draw_bytes, {"network": spec}, ("kind", "depth", "purpose", "beside", *at_work)),
        "draw_diff": Public(
            api.draw_diff, {"before": spec, "after": "lenet5", "output": "both.html"}, ("purpose", "names")
        ),
        "draw_why": Public(
            api.draw_why,
            {"model": predictor, "images": ("a.png",), "output": "why.png"},
            ("classes", "on_error", "report"),
        ),
        "from_torch": Public(
            cnnspec.from_torch, {"module": nn.Conv2d(1, 2, 3), "example": (1, 8, 8)}, ("name", "prove")
        ),
        "import_network": Public(
            cnnspec.import_network, {"source": "net.py:net", "input_shape": (1, 8, 8)}, ("output", "weights", "report")
        ),
        "verify": Public(cnnspec.verify, {"path": model}, ("against", "weights", "data", "data_dir", "report")),
        "bench": Public(
            cnnspec.bench,
            {"network": model, "batches": [1], "threads": [1], "seconds": 0.001, "device": "cpu", "torch": False},
            ("report",),
        ),
        "TrainConfig": Public(TrainConfig, {}, tuple(TrainConfig.model_fields)),
        "Predictor": Public(
            cnnspec.Predictor, {"path": model}, ("device", "allow_fallback", "threads", "batch_size", "invert", "spin")
        ),
        "Predictor.__call__": Public(predictor, {"images": "a.png"}),
        "Predictor.stream": Public(predictor.stream, {"images": ["a.png"]}, ("on_error",)),
        "Predictor.pixels": Public(predictor.pixels, {"image": "a.png"}, ("invert",)),
        "Predictor.sample": Public(predictor.sample, {"given": "a.png"}, ("invert",)),
        "Predictor.samples": Public(predictor.samples, {"array": np.zeros((1, 1, 8, 8), np.float32)}, ("invert",)),
        "Predictor.probabilities": Public(predictor.probabilities, {"pixels": np.zeros((1, 8, 8, 1), np.uint8)}),
        "Predictor.activated": Public(predictor.activated, {"pixels": np.zeros((1, 8, 8, 1), np.uint8)}),
        "Predictor.read": Public(predictor.read, {"inputs": np.zeros((1, 1, 8, 8), np.float32)}),
        "Predictor.run": Public(predictor.run, {"inputs": np.zeros((1, 1, 8, 8), np.float32)}),
        "Spec.analyze": Public(spec.analyze, {}, ("purpose", "batch", "optimizer", "precision")),
        "Spec.field": Public(spec.field, {"layer": "c"}, ("unit", "channel")),
        "Spec.largest_batch": Public(spec.largest_batch, {"memory": 10**6}, ("optimizer", "precision")),
        "Spec.explain": Public(spec.explain, {"layer": "c"}, ("purpose",)),
        "Spec.lint": Public(spec.lint, {}, ("select", "ignore", "report")),
        "Spec.build": Public(spec.build, {}),
        "Spec.code": Public(spec.code, {}, ("verify",)),
        "Spec.record": Public(spec.record, {}),
        "Spec.with_params": Public(spec.with_params, {"params": {}}, ("purpose",)),
        "Spec.at_size": Public(spec.at_size, {"shape": (1, 9, 9)}, ("purpose",)),
        "Spec.elaborate": Public(Spec.elaborate, {"source": spec.source}, where),
        "Spec.from_record": Public(Spec.from_record, {"record": spec.record(), "path": "p", "purpose": "train"}),
        "judge": Public(cnnspec.judge, {"spec": spec, "limits": {"params": "500k"}}),
        "screen": Public(api.screen, {"spec": "searched.yaml", "sample": 2}, ("search", "seed")),
        "search": Public(
            api.search,
            {"spec": "searched.yaml", "data": "digits", "name": "s", "workers": 1, "progress": False, **FAST},
            ("searches", "search", "pareto", "config"),
        ),
        "open_search": Public(api.open_search, {"name": "s"}, ("searches", "cost", "picture")),
        "write_best": Public(
            api.write_best, {"name": "s", "output": "best.yaml", "force": True}, ("trial", "searches")
        ),
        "calculate": Public(api.calculate, {"layers": [Layer("Conv2d", {"kernel_size": 3}, input=(8, 8))]}),
        "bundled_networks": Public(api.bundled_networks, {}),
        "bundled_remark": Public(api.bundled_remark, {"name": "lenet5"}),
        "examine_installation": Public(api.examine_installation, {}),
        "bundled_text": Public(api.bundled_text, {"name": "lenet5"}),
        "fix": Public(api.fix, {"text": SPEC}, ("name", "select", "ignore")),
        "format_text": Public(api.format_text, {"text": SPEC}, ("path", "long")),
        "init": Public(api.init, {"path": "new.yaml", "force": True}),
        "find_run": Public(api.find_run, {"name": run}, ("or_spec",)),
        "spec_files": Public(api.spec_files, {"folder": "."}),
        "is_run": Public(api.is_run, {"path": run}),
        "json_schema": Public(api.json_schema, {}),
        "list_runs": Public(api.list_runs, {"folder": run.parent}, ("on_error",)),
        "open_run": Public(api.open_run, {"path": run}, ("figures",)),
    }


def draws(calls: Mapping[str, Public], count: int, seed: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """So many calls of what takes arguments, in turn, each with one or two of them wrong."""
    random_ = random.Random(seed)
    names = [name for name, call in calls.items() if call.right or call.options]
    for turn in range(count):
        name = names[turn % len(names)]
        call = calls[name]
        arguments = dict(call.right)
        possible = [*call.right, *call.options]
        for key in random_.sample(possible, min(len(possible), random_.choice((1, 1, 2)))):
            arguments[key] = random_.choice(WRONG)()
        yield name, arguments


def make(call: Public, arguments: Mapping[str, Any]) -> None:
    """Make the call, and use what it gives."""
    result = call.function(**arguments)
    if isinstance(result, Iterator):
        list(islice(result, 3))
