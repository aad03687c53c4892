import random

import numpy as np
import pytest
import torch
from torch import nn

from mnist_helpers import (
    DigitClassifier,
    autocast,
    describe_environment,
    seed_everything,
    select_device,
    to_device,
)


@pytest.fixture
def machine_with(monkeypatch):
    """Let this machine have so many accelerators of a kind."""

    def pretend(kind: str, count: int = 1):
        found = torch.device(kind) if count else None
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: found)
        monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)

    return pretend


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_the_accelerator_is_taken_when_no_device_is_named(kind, machine_with):
    machine_with(kind)
    assert select_device() == torch.device(kind)
    assert select_device("cpu") == torch.device("cpu")


def test_without_an_accelerator_the_cpu_is_taken(machine_with):
    machine_with("cuda", 0)
    assert select_device() == torch.device("cpu")


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps", "meta"])
def test_a_device_that_is_not_there_is_refused(name, machine_with):
    machine_with("cuda", 0)
    with pytest.raises(ValueError, match=f"'{name}' is not available.*'cpu'"):
        select_device(name)


def test_a_second_gpu_that_is_not_there_is_refused(machine_with):
    machine_with("cuda")
    assert select_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match="'cuda:1' is not available.*'cuda', 'cpu'"):
        select_device("cuda:1")


@pytest.mark.parametrize("name", ["gpu", "", 1.5])
def test_what_is_no_device_is_refused(name):
    with pytest.raises(ValueError, match=f"{name!r}.*'cpu'"):
        select_device(name)


def test_one_seed_gives_the_same_numbers_everywhere():
    def draw():
        seed_everything(7)
        return random.random(), np.random.random(), torch.rand(1).item()

    assert draw() == draw()


def test_convolutions_are_in_the_faster_layout_on_a_cpu_and_nowhere_else():
    model = DigitClassifier()
    weights = [weight for weight in model.parameters() if weight.ndim == 4 and len(weight[0]) > 1]
    to_device(model, torch.device("cpu"))
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in weights)
    assert not any(each.is_contiguous() for each in weights)
    elsewhere = to_device(model, torch.device("meta"))
    assert all(each.is_contiguous() for each in elsewhere.parameters())


def test_a_network_without_shapes_yet_can_be_moved():
    model = to_device(nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten()), torch.device("cpu"))
    assert model(torch.zeros(2, 1, 28, 28)).shape == (2, 4 * 26 * 26)


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_half_precision_is_for_processors_that_have_it(capabilities, dtype, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    cpu = torch.device("cpu")
    with autocast(cpu):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == dtype
    assert str(dtype).removeprefix("torch.") in describe_environment(cpu)


def test_an_old_version_of_pytorch_computes_in_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    with autocast(torch.device("cpu")):
        assert nn.Linear(2, 2)(torch.zeros(1, 2)).dtype == torch.float32


def test_the_environment_names_torch_device_and_threads():
    line = describe_environment(torch.device("cpu"))
    assert torch.__version__ in line and "CPU" in line
    assert f"{torch.get_num_threads()} CPU threads" in line
