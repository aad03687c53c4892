"""Where the computation runs, and with which random numbers."""

import ctypes
import platform
import random

import numpy as np
import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # as malloc.h has them


def select_device(name: str | None = None) -> torch.device:
    """Return the named device, or the best one there is: CUDA, then Apple's MPS, then the CPU.

    Raises ValueError if `name` is not a device, or is one that this machine does not have.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name is None:
        return torch.device(next(kind for kind, there in available.items() if there))
    choices = ", ".join(repr(kind) for kind, there in available.items() if there)
    advice = f"Choose one of {choices}, or None to take the best."
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{name!r} does not name a device. {advice}") from error
    missing_index = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if not available.get(device.type, False) or missing_index:
        raise ValueError(f"The device {name!r} is not available on this machine. {advice}")
    return device


def seed_everything(seed: int) -> None:
    """Seed the generators of Python, NumPy and PyTorch (all devices), and ask cuDNN for
    deterministic convolutions, so that one seed gives one result on one machine."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def keep_freed_memory() -> None:
    """Let glibc keep up to 1 GB that was freed for what is allocated next; elsewhere, do nothing.

    By default it returns large blocks to the system at once, which must then fill each page of the
    next batch's activations with zeros again, in a page fault each. The two parameters are those of
    mallopt(3).
    """
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, 32 * 2**20)  # the most that it accepts
        mallopt(M_TRIM_THRESHOLD, 2**30)


def describe_environment(device: torch.device) -> str:
    """Return one line on what the numbers below were computed with."""
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type.upper()
    return f"PyTorch {torch.__version__} on {hardware}, {torch.get_num_threads()} CPU threads"
