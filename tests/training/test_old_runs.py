"""Run folders that were written before open as they did, and are written with the same keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import cnnspec
from cnnspec.errors import CnnspecError
from cnnspec.training.config import TrainConfig
from cnnspec.training.job import Job
from cnnspec.training.plan import origin_of
from cnnspec.training.run_folder import open_run
from cnnspec.training.run_writer import RunFolder

# Copied from the folder of a run of 0.1.0 before networks were one value.
SPEC = """cnnspec: 1
name: net
params: {width: 4}
input: [1, 8, 8]
variants: {wide: {width: 6}}
layers:
  conv: Conv2d(width, 3)
  pool: AdaptiveAvgPool2d(1)
  flat: Flatten
  fc: Linear(10)
"""
SECTION = """spec:
  file: spec.yaml
  input: [1, 9, 9]
  variant: wide
  set: {width: '7'}
"""
# From its checkpoint: what a run that continues is compared with.
ORIGIN = (
    "['cnnspec: 1\\nname: net\\nparams: {width: 4}\\ninput: [1, 8, 8]\\nvariants: {wide: {width: 6}}\\nlayers:\\n"
    "  conv: Conv2d(width, 3)\\n  pool: AdaptiveAvgPool2d(1)\\n  flat: Flatten\\n  fc: Linear(10)\\n',"
    " 'wide', [('width', '7')], (1, 9, 9)]"
)


class Images:
    """Stands for a data set."""

    digest = "0" * 64


def old_folder(folder: Path, section: str = SECTION, spec: str = SPEC) -> Path:
    (folder / "spec.yaml").write_text(spec)
    (folder / "config.yaml").write_text(section + "train: {data: digits, epochs: 1, batch_size: 512}\n")
    return folder


def test_an_old_run_opens(tmp_path: Path) -> None:
    run = open_run(old_folder(tmp_path), figures=False)
    assert (
        run.network.record() == cnnspec.loads(SPEC, variant="wide", params={"width": 7}, input_shape=(1, 9, 9)).record()
    )
    assert run.graph.state_shapes()["conv.weight"] == (7, 1, 3, 3)
    assert (run.network.name, run.network.variant, run.network.params) == ("wide", "wide", {"width": "7"})
    assert (run.config.epochs, run.config.batch_size) == (1, 512)


def test_an_old_run_can_go_on(tmp_path: Path) -> None:
    run = open_run(old_folder(tmp_path), figures=False)
    job = Job(run.network, run.config, tmp_path, "resume")
    assert origin_of(job, Images())["spec"] == ORIGIN  # type: ignore[arg-type]


def test_what_a_run_may_lack_is_the_declared(tmp_path: Path) -> None:
    run = open_run(old_folder(tmp_path, "spec: {}\n"), figures=False)
    assert (run.graph.input_shape, run.network.variant, run.network.params) == ((1, 8, 8), None, {})
    assert run.graph.state_shapes()["conv.weight"] == (4, 1, 3, 3)


def test_a_damaged_spec_is_told_by_its_path(tmp_path: Path) -> None:
    old_folder(tmp_path, spec=SPEC.replace("Linear", "Linaer"))
    with pytest.raises(CnnspecError) as caught:
        open_run(tmp_path)
    assert str(tmp_path / "spec.yaml") in str(caught.value)


def test_a_run_is_written_as_it_was(tmp_path: Path) -> None:
    spec = cnnspec.loads(SPEC, variant="wide", params={"width": 7}, input_shape=(1, 9, 9))
    config = TrainConfig(epochs=1)
    with RunFolder(tmp_path / "run") as folder:
        folder.start(Job(spec, config, folder.path), config, None, spec.graph.classes, {})
    assert (tmp_path / "run" / "spec.yaml").read_text() == SPEC
    assert (tmp_path / "run" / "config.yaml").read_text().startswith(SECTION + "train:\n")
    plain = cnnspec.loads(json.dumps(yaml.safe_load(SPEC)), path="net.json")
    with RunFolder(tmp_path / "json") as folder:
        folder.start(Job(plain, config, folder.path), config, None, (), {})
    section = yaml.safe_load((tmp_path / "json" / "config.yaml").read_text())["spec"]
    assert section == {"file": "spec.json", "input": [1, 8, 8]}
    assert open_run(tmp_path / "json", figures=False).network.record() == plain.record()
