"""An interrupted training goes on where it stopped, and ends as if nothing had happened."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from .archive import ArchiveError, digest, read_archive, write_archive


def run_name(state: dict, *what: object) -> str:
    """Name a run after all that it depends on: its first state, its data and configuration, this
    package's source, and PyTorch's version."""
    sources = [path.read_text("utf-8") for path in sorted(Path(__file__).parent.glob("*.py"))]
    return digest(state, what, sources, str(torch.__version__))[:16]


@contextmanager
def checkpointed(
    folder: str | Path | None, state: Any, what: tuple
) -> Iterator[Callable[[], None]]:
    """Restore the state of a run that was interrupted, and yield the function that saves it.

    `state` has `state_dict()` and `load_state_dict()`; with `what`, the first state tells one run
    from another. The checkpoint is removed when the run has come to its end. Without a folder,
    nothing is restored or saved.

    Raises ArchiveError if the folder cannot be written, or if another process is at the same run. A
    checkpoint that cannot be used is set aside, and one that cannot be written is done without,
    each with a warning.
    """
    if folder is None:
        yield lambda: None
        return
    folder = Path(folder)
    path = folder / f"{run_name(state.state_dict(), what)}.pt"
    with _locked(path):
        for leftover in folder.glob(f".{path.name}.*.part"):  # of a process that was killed
            leftover.unlink()
        if path.exists():
            _restore(path, state)
        yield lambda: _save(path, state)
        path.unlink(missing_ok=True)


def _locked(path: Path) -> FileLock:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(path.with_suffix(".lock"), timeout=0).acquire()
    except Timeout as error:
        message = f"Another process is at this very training, and keeps it in {str(path.parent)!r}"
        raise ArchiveError(f"{message}. Wait for it, or name another folder.") from error
    except OSError as error:
        message = f"Checkpoints cannot be written to {str(path.parent)!r}: {error}"
        raise ArchiveError(f"{message}. Name a folder that can be, or None.") from error


def _restore(path: Path, state: Any) -> None:
    try:
        saved = read_archive(path, "checkpoint")
    except ArchiveError as error:
        aside = path.replace(path.with_suffix(".damaged"))
        message = f"{error}. It was set aside as {str(aside)!r}, and the training starts anew."
        warnings.warn(message, stacklevel=4)
    else:
        state.load_state_dict(saved)


def _save(path: Path, state: Any) -> None:
    try:
        write_archive(path, "checkpoint", state.state_dict())
    except OSError as error:
        message = f"The checkpoint {str(path)!r} could not be written: {error}"
        warnings.warn(f"{message}. The training goes on without.", stacklevel=3)


def get_random_states(device: torch.device) -> dict:
    """Return the states of PyTorch's own generators, from which dropout draws."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        states["mps"] = torch.mps.get_rng_state()
    return states


def set_random_states(states: dict, device: torch.device) -> None:
    """Set what `get_random_states` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
    if device.type == "mps":
        torch.mps.set_rng_state(states["mps"])
