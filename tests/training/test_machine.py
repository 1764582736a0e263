"""What is set up on the machine."""

from __future__ import annotations

import os
import platform
import resource
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
@pytest.mark.parametrize("how", ["kept", "given back"])
def test_memory_that_a_step_frees_is_there_for_the_next_one(how: str) -> None:
    start = {"MALLOC_TRIM_THRESHOLD_": "131072", "MALLOC_MMAP_THRESHOLD_": "131072"}  # where glibc's own rules begin
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], env=os.environ | start, capture_output=True, text=True, check=True
    )
    every_page = 20 * 8 * 300_000 * 4 // resource.getpagesize()
    assert (int(done.stdout) > 0.9 * every_page) is (how == "given back")
    assert (int(done.stdout) < 0.1 * every_page) is (how == "kept")
