"""What can be seen here of whether the project runs elsewhere: Windows, macOS, other processors."""

import ast
import hashlib
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mnist_helpers import download

from .conftest import ROOT

FILES = sorted(
    path for part in ("mnist_helpers", "research", "tests") for path in ROOT.glob(f"{part}/**/*.py")
)
POSIX_MODULES = {"ctypes", "fcntl", "grp", "pwd", "resource", "termios"}  # ctypes: for glibc alone
POSIX_NAMES = {
    "os": {"fork", "geteuid", "getpgid", "getuid", "killpg", "mkfifo", "setsid", "uname"},
    "signal": {"SIGALRM", "SIGHUP", "SIGKILL", "SIGSTOP", "SIGUSR1", "alarm", "setitimer"},
}
# A link fails where the temporary folder is on another disk, and where Windows wants a permission.
NOWHERE = {"os": {"link", "symlink", "sched_getaffinity"}}


def at_import(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when the module is imported: no bodies of functions, but their decorators."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            for part in [*getattr(child, "decorator_list", []), child.args]:
                yield from at_import(ast.Expr(part))
        else:
            yield child
            yield from at_import(child)


def names_of(nodes, forbidden: dict[str, set[str]]) -> list[str]:
    return [
        f"line {node.lineno}: {node.value.id}.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        if node.attr in forbidden.get(node.value.id, ())
    ]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_each_file_can_be_imported_where_there_is_no_posix(path):
    """A test may use such a name within a function, and be skipped elsewhere."""
    nodes = list(at_import(parse(path)))
    modules = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    modules |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    assert not modules & POSIX_MODULES
    assert names_of(nodes, POSIX_NAMES) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_file_makes_links_or_reads_text_in_the_systems_own_encoding(path):
    nodes = list(ast.walk(parse(path)))
    assert names_of(nodes, NOWHERE) == []
    for call in (node for node in nodes if isinstance(node, ast.Call)):
        keywords = {keyword.arg for keyword in call.keywords}
        assert "text" not in keywords or "encoding" in keywords, f"line {call.lineno}: encoding?"
        if getattr(call.func, "attr", None) in ("read_text", "write_text"):
            assert "encoding" in keywords, f"line {call.lineno}: encoding?"


def test_no_test_writes_into_a_fixed_temporary_folder():
    fixed = re.compile("""["'](?:/tmp|/var|C:)[/\\\\]""")
    assert [path.name for path in FILES if fixed.search(path.read_text(encoding="utf-8"))] == []


def committed() -> list[str]:
    git = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, encoding="utf-8")
    if git.returncode:
        pytest.skip("this copy is no git repository")
    return git.stdout.splitlines()


def test_every_file_name_is_possible_on_windows():
    names = committed()
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert re.fullmatch(r"[\w./-]{1,120}", name, re.ASCII), name
        for part in name.split("/"):
            assert part.split(".")[0].upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
            assert not part.endswith(".")


def test_text_files_have_the_same_line_endings_everywhere():
    for name in committed():
        if name.endswith((".py", ".ipynb", ".csv", ".md", ".toml", ".txt", ".yml", ".js")):
            assert b"\r" not in (ROOT / name).read_bytes(), name


def test_digests_are_not_taken_for_security(monkeypatch):
    """Under FIPS, MD5 is there only for those who say so."""
    md5 = hashlib.md5

    def fips_md5(*arguments, usedforsecurity=True):
        assert not usedforsecurity
        return md5(*arguments, usedforsecurity=False)

    monkeypatch.setattr(hashlib, "md5", fips_md5)
    assert download._recognise(b"no digits") == {}
