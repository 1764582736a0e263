"""The language server as editors meet it: a process, messages on its stdin, answers on its stdout."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from editing_client import URI, Client, running

TEXT = """cnnspec: 1
description: größe
input: [3, 32, 32]
variants:
  wide: {width: 16}
params: {width: 8}
layers:
  stem: Conv2d(width, 3)
  relu: ReLU
  flatten: Flatten
  fc: Linear(10)
"""


@pytest.fixture(scope="module")
def shared() -> Iterator[Client]:
    with running() as client:
        yield client


@pytest.fixture
def client(shared: Client) -> Client:
    shared.notes.clear()
    shared.open(TEXT)
    return shared


def test_hints_follow_edits(client: Client) -> None:
    assert client.hints()[0] == "→ 8x30x30  rf 3x3"
    line = {"start": {"line": 7, "character": 22}, "end": {"line": 7, "character": 23}}
    client.edit(2, {"range": line, "text": "5"})
    assert client.hints()[0] == "→ 8x28x28  rf 5x5"
    client.edit(
        3, {"range": {"start": {"line": 8, "character": 8}, "end": {"line": 8, "character": 12}}, "text": "ReL"}
    )
    assert client.hints() == ["→ 8x28x28  rf 5x5", "→ 8x28x28  rf 5x5", "→ 6272  rf 5x5", "→ 10  rf all"]
    (finding,) = client.diagnostics(3)
    assert (finding["code"], finding["severity"]) == ("E103", 1)
    assert finding["range"] == {"start": {"line": 8, "character": 8}, "end": {"line": 8, "character": 11}}


def test_a_fix_is_applied_as_an_editor_does(client: Client) -> None:
    client.edit(2, {"text": TEXT.replace("ReLU", "ReL")})
    where = {"start": {"line": 8, "character": 9}, "end": {"line": 8, "character": 9}}
    params = {"textDocument": {"uri": URI}, "range": where, "context": {"diagnostics": []}}
    (action,) = client.ask("textDocument/codeAction", params)
    assert action["title"] == "write `ReLU`"
    (edit,) = action["edit"]["changes"][URI]
    client.edit(3, {"range": edit["range"], "text": edit["newText"]})
    assert [each["code"] for each in client.diagnostics(3) if each["severity"] == 1] == []


def test_words_are_told(client: Client) -> None:
    assert "Conv1d, Conv2d, Conv3d" in client.at("hover", 7, 10)["contents"]["value"]
    assert client.at("hover", 1, 15) is None
    items = client.at("completion", 10, 8)["items"]
    assert items[0]["label"] == "Linear" or "Linear" in [each["label"] for each in items]
    assert client.at("signatureHelp", 7, 15)["signatures"][0]["label"].startswith("Conv2d(out_channels, kernel_size")
    assert client.at("definition", 7, 17)["range"]["start"] == {"line": 5, "character": 9}
    assert len(client.at("references", 7, 17, context={"includeDeclaration": True})) == 3
    changes = client.at("rename", 7, 17, newName="base")["changes"][URI]
    assert [each["newText"] for each in changes] == ["base"] * 3


def test_options_of_training_are_known(client: Client) -> None:
    text = f"{TEXT}train:\n  learning_rates: 0.1\n  epochs: none\n  optimizer: sgd\n"
    client.edit(2, {"text": text.replace("ReLU", "ReL")})
    told = [(each["range"]["start"]["line"], each["code"]) for each in client.diagnostics(2)]
    assert told == [(8, "E103"), (12, "E107"), (13, "E107")]
    client.edit(3, {"text": text.replace("learning_rates: 0.1", "epoch: 3").replace("  epochs: none\n", "")})
    where = {"start": {"line": 12, "character": 4}, "end": {"line": 12, "character": 4}}
    params = {"textDocument": {"uri": URI}, "range": where, "context": {"diagnostics": []}}
    (action,) = client.ask("textDocument/codeAction", params)
    assert action["title"] == "write `epochs`"
    assert "update rule" in client.at("hover", 13, 4)["contents"]["value"]
    assert [each["label"] for each in client.at("completion", 13, 13)["items"]] == ["sgd", "adam", "adamw"]


def test_two_mistakes_are_mended_together(client: Client) -> None:
    client.edit(2, {"text": TEXT.replace("ReLU", "ReL").replace("Flatten", "Flaten")})
    where = {"start": {"line": 8, "character": 9}, "end": {"line": 8, "character": 9}}
    params = {"textDocument": {"uri": URI}, "range": where, "context": {"diagnostics": []}}
    _, action = client.ask("textDocument/codeAction", params)
    assert action["title"] == "mend all 2"
    edits = action["edit"]["changes"][URI]
    client.edit(3, *({"range": edit["range"], "text": edit["newText"]} for edit in reversed(edits)))
    assert [each["code"] for each in client.diagnostics(3) if each["severity"] == 1] == []


def test_a_warning_is_told_where_it_stands(client: Client) -> None:
    client.edit(2, {"text": TEXT.replace("  flatten: Flatten\n", "")})
    assert [each["code"] for each in client.diagnostics(2)].count("W321") == 1
    assert "# W321" in client.at("hover", 9, 8)["contents"]["value"]


def test_a_mistake_of_all_that_stands_there_underlines_a_line(client: Client) -> None:
    client.edit(2, {"text": "cnnspec: 1\ninput: [3, 8, 8]\nparams: {width: 8}\n"})
    (finding,) = client.diagnostics(2)
    assert finding["range"] == {"start": {"line": 0, "character": 0}, "end": {"line": 0, "character": 10}}


def test_a_name_that_means_something_else_is_refused(client: Client) -> None:
    position = {"line": 7, "character": 17}
    params = {"textDocument": {"uri": URI}, "position": position, "newName": "in_channels"}
    assert "cannot be the name" in client.answer("textDocument/rename", params)["error"]["message"]


def test_names_that_are_none_are_refused_in_a_text_with_errors_too(client: Client) -> None:
    client.edit(2, {"text": TEXT.replace("ReLU", "ReL")})
    where = {"textDocument": {"uri": URI}, "position": {"line": 7, "character": 17}}
    for name in ("", "a b", "a: b", "🎈"):
        error = client.answer("textDocument/rename", {**where, "newName": name})["error"]
        assert error["message"] == f"`{name}` cannot be the name: the text would say something else"
    assert len(client.at("rename", 7, 17, newName="base")["changes"][URI]) == 3


def test_quotes_around_a_name_stay(client: Client) -> None:
    client.edit(2, {"text": '{"cnnspec": 1, "input": [1, 8, 8],\n "layers": {"c": "ReLU"}}'})
    (edit,) = client.at("rename", 1, 13, newName="relu")["changes"][URI]
    assert edit == {
        "newText": "relu",
        "range": {"start": {"line": 1, "character": 13}, "end": {"line": 1, "character": 14}},
    }


def test_lines_that_are_inserted_end_as_the_others(client: Client) -> None:
    client.edit(2, {"text": TEXT.replace("  flatten: Flatten\n", "").replace("\n", "\r\n")})
    where = {"start": {"line": 9, "character": 8}, "end": {"line": 9, "character": 8}}
    params = {"textDocument": {"uri": URI}, "range": where, "context": {"diagnostics": []}}
    (action,) = client.ask("textDocument/codeAction", params)
    assert action["edit"]["changes"][URI][0]["newText"].endswith("Flatten\r\n")


def test_nothing_is_kept_of_another_text(client: Client) -> None:
    client.hints()
    layers = "".join(f"\n  layer{number}: ReLU" for number in range(9))
    client.edit(2, {"text": f"# another\ncnnspec: 1.0\ninput: [2, 4, 4]\nname: '{{'\nlayers:{layers}\n  out: Lin(3)\n"})
    assert {*client.hints()} <= {"→ 2x4x4  rf 1x1"}


def test_structure_and_form(client: Client) -> None:
    document = {"textDocument": {"uri": URI}}
    assert [each["name"] for each in client.ask("textDocument/documentSymbol", document)] == [
        *("width", "stem", "relu", "flatten", "fc")
    ]
    assert {"startLine": 6, "endLine": 10} in client.ask("textDocument/foldingRange", document)
    form = {**document, "options": {"tabSize": 2, "insertSpaces": True}}
    assert client.ask("textDocument/formatting", form) == []
    client.edit(2, {"text": TEXT.replace("Conv2d(width, 3)", "Conv2d( width,kernel_size=3 )")})
    (edit,) = client.ask("textDocument/formatting", form)
    assert edit["newText"] == TEXT


def test_another_variant_is_looked_at(client: Client) -> None:
    lenses = client.ask("textDocument/codeLens", {"textDocument": {"uri": URI}})
    assert [each["command"]["title"] for each in lenses] == ["● as declared", "as wide"]
    client.ask("workspace/executeCommand", {"command": "cnnspec.choose", "arguments": [URI, "wide"]})
    assert client.hints()[0] == "→ 16x30x30  rf 3x3"


def test_what_is_shown_is_a_setting(client: Client) -> None:
    client.tell(
        "workspace/didChangeConfiguration", {"settings": {"cnnspec": {"hints": {"field": False, "params": True}}}}
    )
    assert client.hints()[0] == "→ 8x30x30  224 params"
    client.tell("workspace/didChangeConfiguration", {"settings": {"cnnspec": {"hints": False}}})
    assert client.hints() == []
    client.tell("workspace/didChangeConfiguration", {"settings": None})
    assert client.hints()[0] == "→ 8x30x30  rf 3x3"


def test_columns_are_counted_as_the_client_counts() -> None:
    text = TEXT.replace("  relu: ReLU", '  "🎈": ReLU')
    for encoding, columns in (("utf-16", 6), ("utf-8", 8), ("utf-32", 5)):
        with running(general={"positionEncodings": [encoding]}) as client:
            client.open(text)
            (finding,) = client.diagnostics(1)
            where = {"start": {"line": 8, "character": 2}, "end": {"line": 8, "character": columns}}
            assert (finding["code"], finding["range"]) == ("E108", where)


def test_files_that_are_no_specs_are_left_alone(client: Client) -> None:
    client.open("services:\n  web: [1\n", "file:///specs/compose.yaml")
    where = {"start": {"line": 0, "character": 0}, "end": {"line": 9, "character": 0}}
    params = {"textDocument": {"uri": "file:///specs/compose.yaml"}, "range": where}
    assert client.ask("textDocument/inlayHint", params) is None
    assert client.ask("textDocument/documentSymbol", {"textDocument": {"uri": "file:///specs/compose.yaml"}}) is None


def test_hostile_messages_end_in_an_error_and_not_in_the_server(client: Client) -> None:
    client.raw(b"{nonsense")
    client.raw(b"[]")
    assert "error" in client.answer("textDocument/nonsense", {})
    assert "error" in client.answer("textDocument/hover", {"textDocument": 7})
    for line, character in ((10**9, 0), (0, 10**9), (2**31 - 1, 2**31 - 1)):
        client.at("hover", line, character)
        client.at("completion", line, character)
    client.edit(
        2, {"range": {"start": {"line": 10**6, "character": 9}, "end": {"line": 0, "character": 0}}, "text": "x"}
    )
    client.edit(3, {"text": "x" * 10_000_000})
    client.hints()
    client.edit(4, {"text": TEXT})
    assert client.hints()[0] == "→ 8x30x30  rf 3x3"
