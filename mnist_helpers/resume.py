"""An interrupted training goes on where it stopped, and ends with the same bits."""

import math
import warnings
from collections.abc import Iterator
from numbers import Number
from pathlib import Path

import torch
from torch import nn

from .batches import Batches
from .checkpoint import CheckpointError, read_file, write_file
from .fingerprint import fingerprint
from .model import check_model, device_of


class TrainingDiverged(RuntimeError):
    """The loss became infinite or not a number; the history holds the whole epochs before."""


def resumable(
    batches: Batches, history: list[dict], parts: list, *, folder: str | Path | None
) -> Iterator[int]:
    """Yield the number of each epoch that is left, and keep in `folder` what has been reached.

    `parts` are what the training depends on besides the batches: network, optimizer and schedule,
    which are saved and restored, and functions such as the one that trains an epoch. An interrupted
    training that is started again with the same parts goes on after its last whole epoch, and ends
    with the same bits; `history` then gets the rows of the epochs before. A training that has come
    to its end removes its checkpoint. Without a folder, nothing is saved.

    Raises TrainingDiverged if a number in the history's last row is not finite, CheckpointError if
    the folder can't be written, and ValueError for a training that has begun already and has no
    checkpoint. A checkpoint that can't be read is set aside, and one that can't be written is done
    without, each with a warning.
    """
    model = next((part for part in parts if isinstance(part, nn.Module)), None)
    check_model(model)
    device = device_of(model)
    stateful = [part for part in [batches, *parts] if hasattr(part, "state_dict")]
    functions = [part for part in parts if not hasattr(part, "state_dict")]
    begun = batches.run
    versions = str(torch.__version__), device.type
    batches.run = begun or (fingerprint(*stateful, *versions), stateful)
    name, first = batches.run
    path = folder and Path(folder, f"{name}-{fingerprint(*functions)}.pt")
    to_save = [*stateful, _RandomNumbers(device)]

    def save() -> None:
        states = [part.state_dict() for part in to_save]
        write_file(path, "checkpoint", {"states": states, "history": history})

    if path and first == stateful and (saved := _read_or_set_aside(path)):
        for part, state in zip(to_save, saved["states"], strict=True):
            part.load_state_dict(state)
        history[:] = saved["history"]
    elif begun:
        finished = batches.epoch == batches.epochs
        lost = "has begun already, and no checkpoint lets it go on as it is now"
        raise ValueError(
            f"The training of these batches {'is finished' if finished else lost}. To train again, "
            "make network, batches, optimizer and schedule anew (in the lesson: run the cell that "
            "makes the batches), and then train."
        )
    elif path:
        save()  # a beginning to go back to, if the first epoch is interrupted
    for epoch in range(batches.epoch + 1, batches.epochs + 1):
        yield epoch
        _check_finite(epoch, history)
        try:
            if path:
                save()
        except CheckpointError as error:
            warnings.warn(f"{error} The training goes on without.", stacklevel=2)
    if path:
        for finished in [path, *path.parent.glob(f".{path.name}.*.part")]:
            finished.unlink(missing_ok=True)  # the parts are of processes that were killed


class _RandomNumbers:
    """PyTorch's own generators, from which dropout draws, as a part with a state."""

    def __init__(self, device: torch.device):
        self.modules = {torch: []}
        if device.type != "cpu":  # only CUDA asks which device is meant
            which = [device] if device.type == "cuda" else []
            self.modules[torch.get_device_module(device)] = which

    def state_dict(self) -> list[torch.Tensor]:
        return [module.get_rng_state(*which) for module, which in self.modules.items()]

    def load_state_dict(self, states: list[torch.Tensor]) -> None:
        for (module, which), state in zip(self.modules.items(), states, strict=True):
            module.set_rng_state(state, *which)


def _check_finite(epoch: int, history: list[dict]) -> None:
    for name, value in (history[-1] if history else {}).items():
        if isinstance(value, Number) and not math.isfinite(value):
            del history[-1]
            raise TrainingDiverged(
                f"The {name.replace('_', ' ')} became {value} in epoch {epoch}, and the training "
                f"stopped. The history holds the {len(history)} whole epochs before it. "
                "Try a lower learning rate."
            )


def _read_or_set_aside(path: Path) -> dict | None:
    try:
        return read_file(path, "checkpoint")
    except CheckpointError as error:
        if path.exists():
            aside = path.replace(path.with_suffix(".damaged"))
            message = f"{error}. It was set aside as {str(aside)!r}, and the training starts anew."
            warnings.warn(message, stacklevel=3)
    return None
