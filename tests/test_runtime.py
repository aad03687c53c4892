import ctypes
import platform
import random
import subprocess
import sys

import numpy as np
import pytest
import torch

from mnist_helpers import describe_environment, seed_everything, select_device
from mnist_helpers.runtime import keep_freed_memory


def test_the_best_device_is_taken_when_none_is_named(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert select_device() == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert select_device() == torch.device("cuda")


def test_a_named_device_is_taken():
    assert select_device("cpu") == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused(name, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"'{name}' is not available.*'cpu'"):
        select_device(name)


def test_a_second_gpu_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert select_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match="'cuda:1' is not available"):
        select_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "", "meta", 1.5])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(ValueError, match=f"{name!r}.*'cpu'"):
        select_device(name)


def test_one_seed_gives_the_same_numbers_everywhere():
    def draw():
        seed_everything(7)
        return random.random(), np.random.random(), torch.rand(1).item()

    assert draw() == draw()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_is_used_again():
    """In a process of its own, since an allocator cannot be set back."""
    code = """
import resource, torch
from mnist_helpers.runtime import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        blocks = [torch.zeros(2_000_000) for _ in range(4)]  # 8 MB each
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = page_faults()
keep_freed_memory()
page_faults()
print(first, page_faults())
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    by_default, kept = map(int, run.stdout.split())
    assert kept < by_default / 2


def test_elsewhere_than_with_glibc_the_allocator_is_left_alone(monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(ctypes, "CDLL", None)  # calling it would raise
    keep_freed_memory()


def test_the_environment_names_torch_device_and_threads():
    line = describe_environment(torch.device("cpu"))
    assert torch.__version__ in line and "CPU" in line
    assert f"{torch.get_num_threads()} CPU threads" in line
