"""A network served: what it answers, whom it answers, and that nothing that is sent disturbs others."""

from __future__ import annotations

import base64
import http.client
import json
import os
import random
import signal
import socket
import struct
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from served import Served, digit, serving

from cnnspec import Predictor
from cnnspec.cli import main


def wanted(place: Path, image: bytes) -> dict[str, float]:
    (prediction,) = Predictor(place / "lenet5.onnx", device="cpu")(image)
    return {guess.label: guess.probability for guess in prediction.top(10)}


def said(answer: Any) -> dict[str, float]:
    return {each["label"]: each["probability"] for each in answer["predictions"]}


def test_it_says_what_predict_says(server: Served, place: Path) -> None:
    image = digit(1)
    status, answer = server.ask("/v1/predict?top=10", image)
    assert status == 200
    assert said(answer) == pytest.approx(wanted(place, image), abs=1e-6)
    assert [each["probability"] for each in answer["predictions"]] == sorted(said(answer).values(), reverse=True)
    status, answer = server.ask(body=image)
    assert len(answer["predictions"]) == 5


def test_many_at_once_are_each_answered_with_their_own(server: Served, place: Path) -> None:
    images = [digit(seed) for seed in range(64)]
    predictor = Predictor(place / "lenet5.onnx", device="cpu")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda image: server.ask("/v1/predict?top=10", image)[1], images))
    for answer, prediction in zip(answers, predictor(images), strict=True):
        assert said(answer) == pytest.approx({g.label: g.probability for g in prediction.top(10)}, abs=1e-6)


def test_several_in_one_request_and_a_bad_one_among_them(server: Served, place: Path) -> None:
    images = [digit(1), b"no image", digit(2)]
    texts = [base64.b64encode(image).decode() for image in images]
    texts[2] = "data:image/png;base64," + texts[2]
    body = json.dumps({"images": texts, "top": 10}).encode()
    status, answer = server.ask(body=body, headers={"Content-Type": "application/json"})
    assert status == 200
    first, bad, last = answer["results"]
    assert said(first) == pytest.approx(wanted(place, images[0]), abs=1e-6)
    assert said(last) == pytest.approx(wanted(place, images[2]), abs=1e-6)
    assert "not an image" in bad["error"]["message"]


def test_what_is_wrong_is_told(server: Served) -> None:
    as_json = {"Content-Type": "application/json"}
    for path, body, headers, status, message in (
        ("/v1/predict", b"", {}, 400, "empty"),
        ("/v1/predict", b"x", {}, 422, "not an image"),
        ("/v1/predict?top=0", digit(1), {}, 400, "`top`"),
        ("/v1/predict?top=x", digit(1), {}, 400, "`top`"),
        ("/v1/predict", b"{", as_json, 400, "no JSON"),
        ("/v1/predict", b"[" * 100_000, as_json, 400, "no JSON"),
        ("/v1/predict", b"[]", as_json, 400, "`images`"),
        ("/v1/predict", b'{"images": []}', as_json, 400, "1 to 256"),
        ("/v1/predict", json.dumps({"images": ["eA=="] * 257}).encode(), as_json, 400, "1 to 256"),
        ("/v1/predict", b'{"images": [1]}', as_json, 400, "image 0 is no base64"),
        ("/v1/predict", b'{"images": ["eA=="], "topp": 1}', as_json, 400, "`topp`"),
        ("/v1/predict", b'{"images": ["eA=="], "top": true}', as_json, 400, "`top`"),
        ("/v1/predict", b'{"images": ["eA=="], "invert": 1}', as_json, 400, "`invert`"),
        ("/nowhere", None, {}, 404, "nothing here"),
        ("/v1/predict", None, {}, 405, "nothing here"),
        ("/v1/predict", b"x", {"Content-Length": str(2**40)}, 413, "at most"),
    ):
        got, answer = server.ask(path, body, headers)
        assert got == status, (path, body and body[:50], answer)
        assert message in answer.get("error", answer)["message"], answer


def test_only_this_machine_and_its_own_page_are_answered(server: Served) -> None:
    for headers, status in (
        ({"Host": f"127.0.0.1:{server.port}"}, 200),
        ({"Host": "localhost"}, 200),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": ""}, 403),
        ({"Host": "localhost:1", "Origin": "http://localhost:1"}, 200),
        ({"Host": "localhost:1", "Origin": "http://evil.example"}, 403),
        ({"Host": "localhost:1", "Origin": "null"}, 403),
    ):
        assert server.ask("/healthz", None, headers)[0] == status, headers


def test_another_address_wants_a_token_and_the_token_is_checked(place: Path, capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", "--predict", str(place / "lenet5.onnx"), "--host", "0.0.0.0"])
    assert caught.value.code == 2
    assert "`--token SECRET`" in capsys.readouterr().err
    with serving("--predict", "lenet5.onnx", "--token", "geheim", "--host", "0.0.0.0", cwd=place) as served:
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer x"}, 401),
            ({"Authorization": "Bearer geheim"}, 200),
        ):
            assert served.ask("/v1/predict", digit(1), {**headers, "Host": "cnn.example"})[0] == status
        assert served.ask("/healthz", None, {"Host": "cnn.example"})[0] == 200


def test_the_api_describes_itself(server: Served) -> None:
    _, document = server.ask("/openapi.json")
    assert document["openapi"] == "3.1.0"
    assert {*document["paths"]} == {"/v1/predict", "/v1/model", "/healthz"}
    status, about = server.ask("/v1/model")
    assert (status, about["name"], about["input"]) == (200, "lenet5", [1, 28, 28])


def test_it_needs_no_torch(place: Path) -> None:
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "sklearn"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from cnnspec.cli import main; main()
"""
    with serving("--predict", "lenet5.onnx", cwd=place, code=code) as served:
        assert served.ask(body=digit(1))[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("keep", [True, False])
def test_a_signal_under_load_loses_no_request_that_was_accepted(place: Path, number: int, keep: bool) -> None:
    lost: list[str] = []
    answered = [0]
    ended = threading.Event()

    def client(seed: int) -> None:
        connection = None
        while not ended.is_set():
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
                    connection.connect()
            except OSError:
                return  # it no longer listens
            try:
                connection.request("POST", "/v1/predict", image)
                response = connection.getresponse()
                json.loads(response.read())
                answered[0] += response.status == 200
            except (OSError, http.client.HTTPException) as error:
                lost.append(f"{type(error).__name__}: {error}")
                return
            if not keep or response.will_close:
                connection.close()
                connection = None

    image = digit(1)
    with serving("--predict", "lenet5.onnx", "--threads", "1", cwd=place) as served:
        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        served.process.send_signal(number)
        code = served.process.wait(60)
        ended.set()
        for thread in threads:
            thread.join(60)
    assert code == 128 + number
    assert answered[0] > 8
    assert lost == []


def hostile(rng: random.Random, port: int) -> None:
    """One client of ill will. Whatever it gets, it goes."""
    request = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        kind = rng.randrange(10)
        noise = rng.randbytes(rng.randrange(1, 3000))
        if kind == 0:
            data = noise
        elif kind == 1:
            data = request + b"Content-Length: 5000\r\n\r\n" + noise  # and never the rest
        elif kind == 2:
            data = request + b"X: " + b"a" * 200_000 + b"\r\n\r\n"
        elif kind == 3:
            data = request + f"Content-Length: {len(noise)}\r\n\r\n".encode() + noise
        elif kind == 4:
            bomb = png_bomb()
            data = request + f"Content-Length: {len(bomb)}\r\n\r\n".encode() + bomb
        elif kind == 5:
            broken = bytearray(digit(1))
            for _ in range(5):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            data = request + f"Content-Length: {len(broken)}\r\n\r\n".encode() + broken
        elif kind == 6:
            text = json.dumps(
                {"images": rng.choice([1, None, "x", [[]], {"a": 1}, ["!"] * 300]), "top": rng.choice([0, "x"])}
            )
            data = request + f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
        elif kind == 7:
            data = request + b"Content-Length: -1\r\nContent-Length: 7\r\n\r\nabc"
        elif kind == 8:
            data = request + b"Transfer-Encoding: chunked\r\n\r\nffffffffff\r\n" + noise
        else:
            data = rng.choice([b"GET ", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01", b"POST " + b"/" * 70_000])
        try:
            client.sendall(data)
            if rng.random() < 0.5:
                client.settimeout(0.3)
                client.recv(1000)
        except OSError:
            pass
        if rng.random() < 0.3:  # gone without a word
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def png_bomb() -> bytes:
    """50,000 x 50,000 black pixels in two hundred bytes or so."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(bytes(100_000)))
        + chunk(b"IEND", b"")
    )


def disturbed(place: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)
    image = digit(1)
    with serving("--predict", "lenet5.onnx", "--threads", "1", cwd=place) as served:
        right = served.ask(body=image)
        assert right[0] == 200
        memory = resident(served.process.pid)
        with ThreadPoolExecutor(8) as pool:
            for _ in range(0, count, 50):
                attacks = [pool.submit(hostile, random.Random(rng.random()), served.port) for _ in range(50)]
                assert served.ask(body=image) == right
                for attack in attacks:
                    attack.result()
        assert served.ask(body=image) == right
        assert served.process.poll() is None
        assert resident(served.process.pid) < memory + 200e6


def resident(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_hostile_requests_disturb_nobody(place: Path) -> None:
    disturbed(place, 200, seed=1)


@pytest.mark.long
def test_more_hostile_requests_disturb_nobody(place: Path) -> None:
    disturbed(place, 2000, seed=2)


@pytest.mark.long
def test_memory_is_flat_over_a_minute(place: Path) -> None:
    with serving("--predict", "lenet5.onnx", "--threads", "1", cwd=place) as served, ThreadPoolExecutor(8) as pool:
        images = [digit(seed, size=28 + seed) for seed in range(64)]

        def asked() -> float:
            end, rounds = time.monotonic() + 20, 0
            while time.monotonic() < end or rounds < 100:  # until all batches of all sizes have run, on a busy machine
                assert all(status == 200 for status, _ in pool.map(lambda image: served.ask(body=image), images))
                rounds += 1
            return resident(served.process.pid)

        first, _, last = asked(), asked(), asked()
        assert last < first + 10e6


def test_a_run_is_exported_and_served(place: Path) -> None:
    import cnnspec

    cnnspec.train("mlp", name="a", runs=place / "runs", epochs=1, threads=1, progress=None)
    with serving("--predict", "runs/a", cwd=place) as served:
        assert served.ask("/v1/model")[1]["name"] == "mlp"
        assert served.ask(body=digit(3))[0] == 200
