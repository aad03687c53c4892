"""Files that are written whole or not at all, and never believed unseen."""

import hashlib
import io
import os
import tempfile
import zipfile
from dataclasses import fields, is_dataclass
from pathlib import Path

import torch

FORMAT = 1  # counts up when what an archive holds changes its meaning


class ArchiveError(RuntimeError):
    """A checkpoint or a saved model is damaged, of another kind or format, or cannot be used."""


def write_archive(path: Path, kind: str, contents: dict) -> None:
    """Write tensors and plain values with `torch.save`, so that `path` is always a whole file: the
    old one, or the new one. Raises OSError if it cannot be written; nothing is left behind then."""
    envelope = {"kind": kind, "format": FORMAT, "contents": contents, "digest": digest(contents)}
    buffer = io.BytesIO()  # torch.save hides what a full disk answers behind errors of its own
    torch.save(envelope, buffer)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(buffer.getbuffer())
            file.flush()
            os.fsync(file.fileno())  # else a power cut after the renaming could leave it empty
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def read_archive(path: Path, kind: str) -> dict:
    """Return what `write_archive` wrote, to the last bit, or raise ArchiveError.

    Nothing in the file is executed: PyTorch's restricted unpickler takes tensors and plain values.
    """
    if not path.is_file():
        raise ArchiveError(f"There is no {kind} at {str(path)!r}")
    try:
        # torch.load does not look at the checksums of its own format.
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise ArchiveError(f"its part {damaged!r} is damaged")
        envelope = torch.load(path, map_location="cpu", weights_only=True)
        if envelope["kind"] != kind or envelope["format"] != FORMAT:
            found = f"a {envelope['kind']} of format {envelope['format']}"
            raise ArchiveError(f"it is {found}, but a {kind} of format {FORMAT} is expected")
        if envelope["digest"] != digest(envelope["contents"]):
            raise ArchiveError("its contents are not those that were written")
    except Exception as error:  # a damaged file can fail anywhere in two libraries
        raise ArchiveError(f"The {kind} {str(path)!r} cannot be used: {error}") from error
    return envelope["contents"]


def digest(*contents) -> str:
    """Return the SHA-256 of tensors and plain values in dataclasses, dicts, lists and tuples."""
    sha256 = hashlib.sha256()

    def add(value) -> None:
        if isinstance(value, torch.Tensor):
            sha256.update(f"tensor {value.dtype} {list(value.shape)}\n".encode())
            sha256.update(value.detach().cpu().contiguous().numpy().data)
        elif is_dataclass(value):
            sha256.update(f"{type(value).__name__}\n".encode())
            add({each.name: getattr(value, each.name) for each in fields(value)})
        elif isinstance(value, dict):
            sha256.update(f"dict {len(value)}\n".encode())
            for key, item in value.items():
                add(key)
                add(item)
        elif isinstance(value, list | tuple):
            sha256.update(f"{type(value).__name__} {len(value)}\n".encode())
            for item in value:
                add(item)
        else:
            sha256.update(f"{type(value).__name__} {value!r}\n".encode())

    add(contents)
    return sha256.hexdigest()
