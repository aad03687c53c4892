"""Where the computation runs, in which precision, and with which random numbers."""

import random
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy


def select_device(name: str | None = None) -> torch.device:
    """Return the named device, or the best one there is: CUDA, Apple's MPS, else the CPU.

    Raises ValueError if `name` is not a device, or is one that this machine does not have.
    """
    cpu = torch.device("cpu")
    best = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else cpu
    if name is None:
        return torch.device(best.type)
    choices = ", ".join(repr(kind) for kind in dict.fromkeys([best.type, "cpu"]))
    advice = f"Choose one of {choices}, or None to take the best."
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name!r} does not name a device. {advice}") from error
    count = 1 if device.type == "cpu" else torch.accelerator.device_count()
    if device.type not in (best.type, "cpu") or (device.index or 0) >= count:
        raise ValueError(f"The device {name!r} is not available on this machine. {advice}")
    return device


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch (all devices), and ask cuDNN for
    deterministic convolutions, so that one seed gives one result on one machine.

    On CUDA, max pooling's gradients are added in no fixed order
    (https://github.com/pytorch/pytorch/pull/175411). Where its windows don't overlap, as in
    DigitClassifier, each sum has one term, and the order doesn't matter.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def to_device(model: nn.Module, device: torch.device) -> nn.Module:
    """Move the model to the device, and return it.

    On a CPU its weights take the layout channels_last, in which convolutions are faster. Elsewhere
    they keep PyTorch's own: batch norm's backward crashes in the other one on MPS
    (https://github.com/pytorch/pytorch/pull/188371).
    """
    if any(map(is_lazy, model.parameters())):  # which have no shape yet
        return model.to(device)
    layout = torch.channels_last if device.type == "cpu" else torch.contiguous_format
    return model.to(device, memory_format=layout)


def autocast(device: torch.device) -> AbstractContextManager:
    """Return the context in which a training step is fastest: bfloat16 on a processor that has
    instructions for it (AVX512-BF16 or AMX), float32 on any other device."""
    if device.type == "cpu" and has_bfloat16():
        return torch.autocast("cpu", torch.bfloat16)
    return nullcontext()


def has_bfloat16() -> bool:
    """Return whether this processor multiplies matrices in bfloat16 itself. Without such
    instructions bfloat16 is slower than float32; PyTorch versions that can't tell are not asked."""
    get_capabilities = getattr(torch.cpu, "get_capabilities", dict)
    return any(get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))


def describe_environment(device: torch.device) -> str:
    """Return one line on what the numbers below were computed with."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    precision = "bfloat16" if device.type == "cpu" and has_bfloat16() else "float32"
    threads = torch.get_num_threads()
    return f"PyTorch {torch.__version__} on {hardware}, {threads} CPU threads, {precision}"
