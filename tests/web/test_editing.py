"""The live editor's server: what it answers, and to whom it answers nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import cnnspec
from cnnspec.errors import UsageError
from cnnspec.web.editing import editing_app
from cnnspec.web.folder import Folder

HOST = "127.0.0.1:8000"
SELF = {"origin": f"http://{HOST}"}
CALLER = {**SELF, "host": HOST}  # which the test client leaves out for sockets
SPEC = "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  - Conv2d(4, 3)\n  - ReLU\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "specs"
    (root / "below").mkdir(parents=True)
    (root / "net.yaml").write_text(SPEC)
    (root / "below" / "other.json").write_text("{}")
    (root / ".hidden.yaml").write_text(SPEC)
    (root / "notes.txt").write_text("no spec")
    (tmp_path / "secret.yaml").write_text("secret")
    (root / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    (root / "linked").symlink_to(tmp_path)
    return root


def client_of(folder: Path, token: str | None = None) -> TestClient:
    return TestClient(editing_app(Folder.of(folder), token=token), base_url=f"http://{HOST}", follow_redirects=False)


@pytest.fixture
def client(folder: Path) -> TestClient:
    return client_of(folder)


def test_the_page_lets_nothing_run_but_its_script(client: TestClient) -> None:
    answer = client.get("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert f'<style nonce="{nonce}">' in answer.text
    assert nonce not in client.get("/").text  # each time another


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]:8000", "", "@127.0.0.1@evil"]
)
def test_who_calls_it_by_another_name_is_refused(client: TestClient, host: str) -> None:
    for path in ("/", "/api/files", "/api/file?name=net.yaml"):
        assert client.get(path, headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9000", f"http://{HOST}.evil.example"]
)
def test_other_pages_are_refused(client: TestClient, origin: str) -> None:
    assert client.get("/api/files", headers={"origin": origin}).status_code == 403
    saved = client.put("/api/file", headers={"origin": origin}, json={"name": "net.yaml", "text": "x", "digest": None})
    assert saved.status_code == 403
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("/lsp", headers={"origin": origin, "host": HOST}):
        pass


def test_what_changes_something_must_say_where_it_comes_from(client: TestClient, folder: Path) -> None:
    assert client.put("/api/file", json={"name": "net.yaml", "text": "x", "digest": None}).status_code == 403
    assert client.post("/api/network", json={"text": SPEC, "name": "net.yaml"}).status_code == 403
    assert client.get("/api/files", headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert (folder / "net.yaml").read_text() == SPEC


def test_a_token_opens_the_page_once_and_then_a_cookie_does(folder: Path) -> None:
    client = client_of(folder, "the-token")
    for path in ("/api/files?token=the-token", "/api/file?name=net.yaml"):
        assert client.get(path).status_code == 401
    assert client.get("/?token=wrong").status_code == 303
    assert client.get("/api/files").status_code == 401
    opened = client.get("/?token=the-token")
    assert opened.headers["location"] == "/"
    assert "httponly" in opened.headers["set-cookie"].lower()
    assert "samesite=strict" in opened.headers["set-cookie"].lower()
    assert client.get("/api/files").status_code == 200
    with client.websocket_connect("/lsp", headers={**CALLER, "cookie": "cnnspec=the-token"}) as socket:
        Speaker(socket)
    with pytest.raises(WebSocketDisconnect), client_of(folder, "x").websocket_connect("/lsp", headers=CALLER):
        pass


def test_files_of_the_folder_are_listed_and_opened(client: TestClient) -> None:
    listed = client.get("/api/files").json()
    assert listed["files"] == ["net.yaml", "below/other.json"]
    assert "resnet18" in listed["networks"]
    assert client.get("/api/file", params={"name": "net.yaml"}).json()["text"] == SPEC
    bundled = client.get("/api/file", params={"name": "lenet5", "bundled": "1"}).json()
    assert bundled["digest"] is None
    assert bundled["text"].startswith("cnnspec: 1")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.yaml", "below/../../secret.yaml", "/etc/passwd", "link.yaml", "linked/secret.yaml", "notes.txt", "",
        ".hidden.yaml", "below", "net.yaml\0", "..\\secret.yaml", "C:secret.yaml", "%2e%2e/secret.yaml", "no.yaml",
    ],
)  # fmt: skip
def test_nothing_outside_is_read_or_written(client: TestClient, folder: Path, name: str) -> None:
    assert client.get("/api/file", params={"name": name}).status_code == 400
    if name in ("no.yaml", "%2e%2e/secret.yaml"):
        return  # where there is no such file, or no such folder
    body = {"name": name, "text": "x", "digest": None}
    assert client.put("/api/file", headers=SELF, json=body).status_code == 400
    assert (folder.parent / "secret.yaml").read_text() == "secret"


def test_saving_keeps_what_has_changed_meanwhile(client: TestClient, folder: Path) -> None:
    digest = client.get("/api/file", params={"name": "net.yaml"}).json()["digest"]
    first = client.put("/api/file", headers=SELF, json={"name": "net.yaml", "text": "one", "digest": digest})
    assert first.status_code == 200
    again = client.put("/api/file", headers=SELF, json={"name": "net.yaml", "text": "two", "digest": digest})
    assert again.status_code == 409
    assert again.json()["now"]["text"] == "one"
    fresh = client.put("/api/file", headers=SELF, json={"name": "net.yaml", "text": "three", "digest": None})
    assert fresh.status_code == 409
    assert (folder / "net.yaml").read_text() == "one"
    over = {"name": "net.yaml", "text": "two", "digest": again.json()["now"]["digest"]}
    assert client.put("/api/file", headers=SELF, json=over).status_code == 200
    (folder / "net.yaml").unlink()
    gone = client.put("/api/file", headers=SELF, json=over)
    assert (gone.status_code, gone.json()["now"]) == (409, None)


def test_one_file_alone_is_served_alone(folder: Path) -> None:
    client = client_of(folder / "net.yaml")
    assert client.get("/api/files").json()["files"] == ["net.yaml"]
    assert client.get("/api/file", params={"name": "below/other.json"}).status_code == 400
    with pytest.raises(UsageError):
        Folder.of(folder / "notes.txt")


def test_the_network_is_that_of_the_page(client: TestClient) -> None:
    found = client.post("/api/network", headers=SELF, json={"text": SPEC, "name": "net.yaml"}).json()
    assert found["errors"] == 0
    assert [layer["op"] for layer in found["data"]["layers"]] == ["Conv2d", "ReLU"]
    broken = client.post("/api/network", headers=SELF, json={"text": SPEC + "  - Tahn\n", "name": "net.yaml"}).json()
    assert broken == {"data": None, "errors": 1}


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"text": 1}', b"\xff\xfe", b"[" * 100_000, b'{"name": null}'])
def test_a_body_that_is_none_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/api/network", headers=SELF, content=body).status_code == 400
    assert client.put("/api/file", headers=SELF, content=body).status_code == 400


def test_a_body_that_is_too_large_is_refused(client: TestClient) -> None:
    body = json.dumps({"name": "big.yaml", "text": "x" * 7_000_000, "digest": None})
    assert client.put("/api/file", headers=SELF, content=body).status_code == 400


class Speaker:
    """One client of the language server."""

    def __init__(self, socket: Any) -> None:
        self.socket, self.number = socket, 0
        self.ask("initialize", {"processId": None, "rootUri": None, "capabilities": {}})
        self.tell("initialized", {})

    def tell(self, method: str, params: Any) -> None:
        self.socket.send_text(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}))

    def ask(self, method: str, params: Any) -> Any:
        self.number += 1
        message = {"jsonrpc": "2.0", "id": self.number, "method": method, "params": params}
        self.socket.send_text(json.dumps(message))
        while True:
            answer = json.loads(self.socket.receive_text())
            if answer.get("id") == self.number:
                return answer.get("result", answer.get("error"))

    def open(self, text: str) -> None:
        item = {"uri": "file:///net.yaml", "languageId": "cnnspec", "version": 1, "text": text}
        self.tell("textDocument/didOpen", {"textDocument": item})

    def hints(self) -> list[str]:
        span = {"start": {"line": 0, "character": 0}, "end": {"line": 99, "character": 0}}
        found = self.ask("textDocument/inlayHint", {"textDocument": {"uri": "file:///net.yaml"}, "range": span})
        return [hint["label"] for hint in found or []]


def test_each_socket_has_a_server_of_its_own(client: TestClient) -> None:
    with (
        client.websocket_connect("/lsp", headers=CALLER) as one,
        client.websocket_connect("/lsp", headers=CALLER) as two,
    ):
        first, second = Speaker(one), Speaker(two)
        first.open(SPEC)
        assert second.hints() == []
        second.open(SPEC.replace("4, 3", "7, 3"))
        assert first.hints()[0].startswith("→ 4x6x6")
        assert second.hints()[0].startswith("→ 7x6x6")
        first.tell("exit", None)
        assert second.hints()[0].startswith("→ 7x6x6")


def test_hostile_messages_end_nothing(client: TestClient) -> None:
    draw = random.Random(7)
    with client.websocket_connect("/lsp", headers=CALLER) as socket:
        speaker = Speaker(socket)
        speaker.open(SPEC)
        methods = ["textDocument/hover", "textDocument/inlayHint", "textDocument/rename", "no/such", "workspace/x", ""]
        values: list[Any] = [None, -1, 2**63, "x", [], {}, {"line": 10**9, "character": -5}, "\ud800", 1.5, True]
        for number in range(300):
            kind = draw.randrange(4)
            if kind == 0:
                socket.send_text("".join(draw.choices('{}[]":,x1', k=40)))
            elif kind == 1:
                socket.send_text(json.dumps(draw.choice(values)))
            else:
                where = {"uri": draw.choice(["file:///net.yaml", "file:///no", 5, None])}
                params = {"textDocument": where, "position": draw.choice(values), "range": draw.choice(values)}
                message = {"jsonrpc": draw.choice(["2.0", "1.0", 7]), "method": draw.choice(methods), "params": params}
                socket.send_text(json.dumps(message | ({"id": 10_000 + number} if kind == 2 else {})))
        assert speaker.hints()[0].startswith("→ 4x6x6")


def test_too_many_messages_close_a_socket(client: TestClient) -> None:
    with client.websocket_connect("/lsp", headers=CALLER) as socket:
        for _ in range(2_100):
            socket.send_text('{"jsonrpc": "2.0", "method": "$/nothing", "params": {}}')
        with pytest.raises(WebSocketDisconnect):
            socket.receive_text()


def test_what_is_served_is_what_python_says(client: TestClient) -> None:
    text = client.get("/api/file", params={"name": "resnet18", "bundled": "1"}).json()["text"]
    found = client.post("/api/network", headers=SELF, json={"text": text, "name": "resnet18.yaml"}).json()["data"]
    report = cnnspec.load("resnet18").analyze()
    assert [layer["params"] for layer in found["layers"]] == [row.params for row in report.layers]


def test_runs_are_listed_and_nothing_outside_is_one(client: TestClient, folder: Path) -> None:
    assert client.get("/api/runs").json() == {"runs": []}
    (folder / "runs" / "odd").mkdir(parents=True)
    (folder / "runs" / "odd" / "config.yaml").write_text("no: run")
    (folder.parent / "elsewhere").mkdir()
    (folder.parent / "elsewhere" / "config.yaml").write_text("no: run")
    (folder / "runs" / "linked").symlink_to(folder.parent / "elsewhere")
    (odd,) = client.get("/api/runs").json()["runs"]
    assert odd["name"] == "odd"
    assert odd["error"]
    for name in ("", "..", "linked", "../../elsewhere", "none", "a/b", ".x", "odd\0"):
        answer = client.get("/api/run", params={"name": name})
        assert (answer.status_code, "is no run" in answer.json()["error"]["message"]) == (400, True)
    assert "unsafe" not in client.get("/runs").headers["content-security-policy"]
