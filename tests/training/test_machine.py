"""What is set up on the machine."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys, torch
from cnnspec.training.machine import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
def work():
    held = [torch.zeros(300_000) for _ in range(8)]  # each as large as what LeNet-5's first layer gives for a batch
for _ in range(5):
    work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_memory_that_a_step_frees_is_there_for_the_next_one() -> None:
    faults = {
        how: int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("kept", "given-back")
    }
    assert faults["given-back"] > 1_000
    assert faults["kept"] < faults["given-back"] / 5
