"""What a served network says of each task and kind of input, held against the outputs of the same file."""

from __future__ import annotations

import base64
import io
import json
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from coroutines import run_async
from PIL import Image

import cnnspec
from cnnspec import Predictor
from cnnspec.runtime.answers import palette
from cnnspec.web.predicting import Limits, prediction_app

JSON, NPY = "application/json", "application/x-npy"
SPECS = {
    "lines": ("[1, 8, 8]", "classification", ["Flatten", "Linear(7)"]),
    "shapes": ("[3, 8, 8]", "segmentation", ["Conv2d(3, 3, padding=1)"]),
    "labels": ("[1, 8, 8]", "multi-label\nclasses: [red, round, big]", ["Flatten", "Linear(3)"]),
    "area": ("[1, 8, 8]", "{type: regression, numbers: [area, length], units: [px, mm]}", ["Flatten", "Linear(2)"]),
    "signal": ("[1, 32]", "classification", ["Conv1d(2, 3)", "Flatten", "Linear(3)"]),
    "volume": ("[1, 4, 4, 4]", "segmentation", ["Conv3d(2, 3, padding=1)"]),
}
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("tasks")
    for name, (shape, task, layers) in SPECS.items():
        listed = "".join(f"  - {layer}\n" for layer in layers)
        text = f"cnnspec: 1\nname: {name}\ninput: {shape}\ntask: {task}\nlayers:\n{listed}"
        (root / f"{name}.yaml").write_text(text)
        cnnspec.export(root / f"{name}.yaml", root / f"{name}.onnx", verify=False)
    return root


class Service:
    """A served file within this process."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.predictor = Predictor(path, device="cpu", threads=1)
        self.app = prediction_app(self.predictor, limits=limits)

    def outputs(self, values: Any) -> Any:
        """What the network itself gives."""
        return next(iter(self.predictor.run(np.asarray(values, np.float32)).values()))

    def ask(
        self, body: bytes | None = None, kind: str = "", query: str = "", path: str = "/v1/predict", **headers: str
    ) -> tuple[int, Any]:
        """The status, and what is said: JSON, or the bytes of a picture."""
        status, kind, said = run_async(self._asked(path, body, query, {"content-type": kind, **headers}))
        return status, json.loads(said) if kind == JSON else said

    async def _asked(
        self, path: str, body: bytes | None, query: str, headers: Mapping[str, str]
    ) -> tuple[int, str, bytes]:
        sent: list[dict[str, Any]] = []
        scope = {
            "type": "http", "path": path, "method": "GET" if body is None else "POST", "query_string": query.encode(),
            "headers": [(b"host", b"localhost"), *((key.encode(), value.encode()) for key, value in headers.items())],
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body or b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        async with self.app.router.lifespan_context(self.app):
            await self.app(scope, receive, send)
        told = dict(sent[0]["headers"])
        return sent[0]["status"], told[b"content-type"].decode(), b"".join(one.get("body", b"") for one in sent[1:])


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def png(pixels: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, "PNG")
    return file.getvalue()


def softmax(outputs: Any) -> Any:
    powers = np.exp(outputs - outputs.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def shares(answer: Any) -> list[float]:
    """The probabilities in the order of the classes."""
    return [each["probability"] for each in sorted(answer["predictions"], key=lambda each: each["index"])]


def test_arrays_json_and_files_are_the_same_samples(folder: Path) -> None:
    service = Service(folder / "lines.onnx")
    pixels = RANDOM.integers(0, 256, (5, 8, 8), np.uint8)
    wanted = softmax(service.outputs(pixels[:, None] / 255))
    files = json.dumps({"images": [base64.b64encode(png(one)).decode() for one in pixels], "top": 7}).encode()
    for body, kind, query in (
        (npy(pixels), NPY, "top=7"),
        (npy(pixels[:, None]), NPY, "top=7"),
        (npy(pixels[..., None]), NPY, "top=7"),
        (npy(np.asfortranarray(pixels)), NPY, "top=7"),
        (npy(pixels.astype(">f8") / 255), NPY, "top=7"),
        (json.dumps({"inputs": (pixels / 255).tolist(), "top": 7}).encode(), JSON, ""),
        (files, JSON, ""),
    ):
        status, answer = service.ask(body, kind, query)
        assert status == 200, answer
        assert np.allclose([shares(each) for each in answer["results"]], wanted, atol=1e-5)
    status, answer = service.ask(npy(pixels), NPY, "invert=true&top=7")
    assert np.allclose(
        shares(answer["results"][0]), softmax(service.outputs((255 - pixels)[:1, None] / 255)), atol=1e-5
    )


def test_what_fits_into_no_batch_is_run_in_several(folder: Path) -> None:
    service = Service(folder / "lines.onnx")
    service.predictor.batch_size = 4
    values = RANDOM.standard_normal((11, 1, 8, 8)).astype(np.float32)
    _, answer = service.ask(npy(values), NPY, "top=7")
    assert np.allclose([shares(each) for each in answer["results"]], softmax(service.outputs(values)), atol=1e-5)


def test_masks_are_told_as_pictures_numbers_or_not_at_all(folder: Path) -> None:
    service = Service(folder / "shapes.onnx")
    pixels = RANDOM.integers(0, 256, (8, 8, 3), np.uint8)
    wanted = service.outputs(np.moveaxis(pixels, -1, 0)[None] / 255)[0].argmax(0)
    image = png(pixels)
    _, answer = service.ask(image, "image/png")
    assert answer["shares"] == {f"{place}": float((wanted == place).mean()) for place in range(3)}
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(answer["mask"])))), wanted)
    assert service.ask(image, query="mask=values")[1]["mask"] == wanted.tolist()
    assert "mask" not in service.ask(image, query="mask=none")[1]
    status, picture = service.ask(image, "image/png", accept="image/png")
    opened = Image.open(io.BytesIO(picture))
    assert status == 200
    assert np.array_equal(np.asarray(opened), wanted)
    assert opened.getpalette()[:9] == palette()[:9]
    about = service.ask(path="/v1/model")[1]
    assert (about["task"], about["colours"][0], len(about["colours"])) == ("segmentation", "#000000", 3)
    status, answer = service.ask(image, query="mask=x")
    assert (status, answer["error"]["message"]) == (400, "`mask` is one of png, values, none")


def test_labels_come_with_their_thresholds(folder: Path) -> None:
    service = Service(folder / "labels.onnx")
    values = 20 * RANDOM.standard_normal((6, 1, 8, 8)).astype(np.float32)
    wanted = 1 / (1 + np.exp(-service.outputs(values).astype(np.float64)))
    _, answer = service.ask(npy(values), NPY)
    found = set()
    for said, row in zip(answer["results"], wanted, strict=True):
        assert said["probabilities"] == pytest.approx(dict(zip(("red", "round", "big"), row, strict=True)), abs=1e-5)
        assert said["labels"] == [name for name, share in said["probabilities"].items() if share >= 0.5]
        found |= {*said["labels"]}
    assert found
    assert service.ask(path="/v1/model")[1]["thresholds"] == [0.5, 0.5, 0.5]


def test_numbers_come_with_their_units(folder: Path) -> None:
    service = Service(folder / "area.onnx")
    pixels = RANDOM.integers(0, 256, (8, 8), np.uint8)
    _, answer = service.ask(png(pixels), "image/png")
    area, length = service.outputs(pixels[None, None] / 255)[0].tolist()
    assert answer["numbers"] == pytest.approx({"area": area, "length": length}, rel=1e-5)
    assert answer["units"] == {"area": "px", "length": "mm"}
    assert service.ask(path="/v1/model")[1]["units"] == ["px", "mm"]


def test_what_is_no_number_is_said_and_no_json_is_broken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(folder / "area.onnx")
    with monkeypatch.context() as patch:
        patch.setattr(
            service.predictor, "activated", lambda values: np.where(values[:, 0, 0, :2] < 0, np.nan, 1).astype("f4")
        )
        status, answer = service.ask(npy(np.stack([np.zeros((1, 8, 8)), np.full((1, 8, 8), -1)])), NPY)
        assert status == 200
        assert {*answer["results"][0]} == {"numbers", "units"}
        assert answer["results"][1] == {"error": {"message": "the network gives what is no number"}}
    status, answer = service.ask(npy(np.full((1, 1, 8, 8), np.nan)), NPY)
    assert status == 422
    assert "sample 0 holds nan" in answer["error"]["message"]


def test_signals_and_sounds(folder: Path) -> None:
    service = Service(folder / "signal.onnx")
    samples = RANDOM.integers(-30_000, 30_000, 32).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(samples.tobytes())
    status, answer = service.ask(file.getvalue(), "audio/wav")
    assert status == 200
    wanted = softmax(service.outputs(samples[None, None] / 32768))[0]
    assert shares(answer) == pytest.approx(wanted.tolist(), abs=1e-4)
    status, answer = service.ask(json.dumps({"inputs": [(samples / 32768).tolist()]}).encode(), JSON)
    assert shares(answer["results"][0]) == pytest.approx(wanted.tolist(), abs=1e-4)
    assert service.ask(b"no sound", "audio/wav")[0] == 422


def test_volumes(folder: Path) -> None:
    service = Service(folder / "volume.onnx")
    values = RANDOM.standard_normal((2, 1, 4, 4, 4)).astype(np.float32)
    _, answer = service.ask(npy(values), NPY)
    assert [each["mask"] for each in answer["results"]] == service.outputs(values).argmax(1).tolist()
    status, answer = service.ask(png(np.zeros((4, 4))), "image/png")
    assert status == 422
    assert "1x4x4x4" in answer["error"]["message"]


def test_arrays_that_are_none_are_told_so(folder: Path) -> None:
    service = Service(folder / "lines.onnx")
    good = npy(np.zeros((2, 1, 8, 8), np.float32))
    huge = good.replace(b"(2, 1, 8, 8)", b"(2**40, 2,)"), good.replace(b"(2, 1, 8, 8)", b"(9999999999,)")
    for body, kind, status, message in (
        (b"\x93NUMPY", NPY, 400, "no .npy file"),
        (good[:-1], NPY, 400, "declares 512 bytes and has 511"),
        (huge[0], NPY, 400, "no .npy file"),
        (huge[1], NPY, 400, "declares"),
        (npy(np.zeros((0, 1, 8, 8))), NPY, 400, "no samples"),
        (npy(np.float32(1)), NPY, 400, "no samples"),
        (npy(np.array(["a"])), NPY, 400, "a network reads numbers"),
        (npy(np.zeros((257, 1, 8, 8), np.uint8)), NPY, 400, "1 to 256"),
        (npy(np.zeros((2, 1, 9, 8, 3), np.uint8)), NPY, 422, "the network reads"),
        (b'{"inputs": [[1, [2]]]}', JSON, 400, "different sizes"),
        (b'{"inputs": [["a"]]}', JSON, 400, "no number"),
        (b'{"inputs": [[true]]}', JSON, 400, "no number"),
        (b'{"inputs": [1' + b"0" * 400 + b"]}", JSON, 400, "no number"),
        (b'{"inputs": [NaN]}', JSON, 422, "the network reads"),
        (b'{"inputs": [[1]], "images": ["eA=="]}', JSON, 400, "`images` is a list"),
        (b'{"inputs": 3}', JSON, 400, "`inputs` is a list"),
    ):
        got, answer = service.ask(body, kind)
        assert (got, message in answer["error"]["message"]) == (status, True), (body[:60], answer)


def test_bodies_of_all_requests_have_bounds(folder: Path) -> None:
    service = Service(folder / "lines.onnx", Limits(held=100))
    status, answer = service.ask(npy(np.zeros((2, 1, 8, 8), np.float32)), NPY)
    assert (status, answer["error"]["message"]) == (503, "too many requests at once")
    assert service.ask(b"x")[0] == 422  # what was refused is let go of
    shapes = Service(folder / "shapes.onnx")
    shapes.app.user_middleware[1].kwargs["service"].answerer.places = 2**22
    status, answer = shapes.ask(npy(np.zeros((2, 3, 8, 8), np.uint8)), NPY, "mask=values")
    assert (status, answer["error"]["message"]) == (422, "at most 4,194,304 places are told as numbers")


@pytest.mark.parametrize("name", SPECS)
def test_the_description_has_what_is_answered(folder: Path, name: str) -> None:
    service = Service(folder / f"{name}.onnx")
    _, document = service.ask(path="/openapi.json")
    operation = document["paths"]["/v1/predict"]["post"]
    shape = service.predictor.metadata.input_shape
    _, answer = service.ask(npy(np.zeros((1, *shape), np.float32)), NPY)
    answered = operation["responses"]["200"]["content"][JSON]["schema"]
    several = answered["oneOf"][-1] if "oneOf" in answered else answered
    one, _ = several["properties"]["results"]["items"]["anyOf"]
    (said,) = answer["results"]
    assert {*one["required"]} <= {*said} <= {*one["properties"]}
    assert (
        f"({', '.join(map(str, ('N', *shape)))})" in operation["requestBody"]["content"][NPY]["schema"]["description"]
    )
