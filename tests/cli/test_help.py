"""The help pages: what belongs to the program stands on its page alone, and the options of training stand in groups."""

from __future__ import annotations

from typing import Any

import pytest
import typer

from cnnspec.cli import VERBS, app, main
from cnnspec.cli.train import PANELS, TEXTS
from cnnspec.training.config import TrainConfig


def options(verb: str) -> list[Any]:
    command = typer.main.get_command(app).get_command(None, verb)  # type: ignore[attr-defined]
    return [param for param in command.params if param.param_type_name == "option"]


@pytest.mark.parametrize("verb", VERBS)
def test_a_verbs_page_has_no_flag_of_the_program_and_no_bare_type(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in options(verb):
        assert option.metavar is not None, option.name
        assert (option.metavar == "") == option.is_flag, option.name
    with pytest.raises(SystemExit) as caught:
        main([verb, "--help"])
    assert caught.value.code == 0
    page = capsys.readouterr().out
    assert "--help" in page
    assert "-completion" not in page


def test_the_programs_own_page_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "--install-completion" in capsys.readouterr().out


def test_the_options_of_training_stand_in_groups() -> None:
    groups: dict[str, list[str]] = {}
    for option in options("train"):
        if option.name in TrainConfig.model_fields:
            groups.setdefault(option.rich_help_panel, []).append(option.name)
    assert list(groups) == list(PANELS.values())
    assert [group[0] for group in groups.values()] == list(PANELS)
    assert [name for group in groups.values() for name in group] == list(TrainConfig.model_fields)
    assert set(TEXTS) < set(TrainConfig.model_fields)
    assert {"momentum", "weight_decay"} < set(groups["Optimisation"])
    assert {"rotate", "flip"} < set(groups["Augmentation"])
    assert {"device", "precision"} < set(groups["Machine"])
