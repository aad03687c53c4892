"""Files that are whole or not there: a saved network comes back to the last bit."""

import os
import zipfile
from contextlib import suppress
from pathlib import Path

import torch
from torch import nn

from .runtime import to_device


class CheckpointError(RuntimeError):
    """A checkpoint or saved network is missing, damaged, of another kind, or can't be written."""


def save_model(model: nn.Module, path: str | Path) -> None:
    """Write the network's weights and the name of its class; see `load_model`.

    Raises CheckpointError if the file can't be written, and leaves what was there before.
    """
    contents = {"network": type(model).__name__, "weights": model.state_dict()}
    write_file(Path(path), "network", contents)


def load_model(path: str | Path, model: nn.Module, device: torch.device | None = None) -> nn.Module:
    """Load what `save_model` wrote into a network of the same class, and return it in evaluation
    mode, on the device (None: the CPU). Its answers are the same to the last bit.

    Raises CheckpointError if the file is damaged or holds another network.
    """
    contents = read_file(Path(path), "network")
    saved, given = contents["network"], type(model).__name__
    if saved != given:
        raise CheckpointError(
            f"{str(path)!r} holds a {saved}, but the network to load it into is a {given}. "
            f"Give load_model a {saved}."
        )
    try:
        model.load_state_dict(contents["weights"])
    except RuntimeError as error:
        raise CheckpointError(f"{str(path)!r} holds a {saved} of other layers: {error}") from error
    return to_device(model, device or torch.device("cpu")).eval()


def write_file(path: Path, kind: str, contents: dict) -> None:
    """Write tensors and plain values, so that `path` is always a whole file: the old one or the new
    one. Raises CheckpointError if that fails, and leaves nothing behind then."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            torch.save({"kind": kind, "contents": contents}, file)
            file.flush()
            os.fsync(file.fileno())  # else a power cut after the renaming could leave it empty
        os.replace(part, path)
    except (OSError, RuntimeError) as error:  # torch.save raises the latter for a full disk
        message = f"The {kind} can't be written to {str(path)!r}: {error}."
        raise CheckpointError(f"{message} Name a folder that can be written.") from error
    finally:
        with suppress(OSError):
            part.unlink()


def read_file(path: Path, kind: str) -> dict:
    """Return what `write_file` wrote, or raise CheckpointError. Nothing in the file is executed:
    PyTorch's restricted unpickler takes tensors and plain values only."""
    if not path.is_file():
        raise CheckpointError(f"There is no {kind} at {str(path)!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():  # torch.load ignores its own format's checksums
                raise CheckpointError(f"its part {damaged!r} is damaged")
        saved = torch.load(path, map_location="cpu", weights_only=True)
        if saved["kind"] != kind:
            raise CheckpointError(f"it is a {saved['kind']}")
        return saved["contents"]
    except Exception as error:  # a damaged file can fail anywhere in two libraries
        raise CheckpointError(f"The {kind} {str(path)!r} can't be used: {error}") from error
