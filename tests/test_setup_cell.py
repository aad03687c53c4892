"""The notebook's set-up cell, and what it runs where the package isn't beside it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_helpers import alone

from .conftest import ROOT

NOTEBOOK = json.loads((ROOT / "MNISTModelTraining.ipynb").read_text(encoding="utf-8"))
SOURCES = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]
(SETUP,) = [text for text in SOURCES if "REPOSITORY" in text and "find_spec" in text]
# Python without the things that only a test needs: this project's folder and pytest's variables.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def run_setup(
    folder: Path, repository: str, then="import mnist_helpers; print('ready')", environment=CLEAN
):
    """Run the cell in `folder`, as a fresh kernel there does, and `then` something else."""
    source = SETUP.replace("%matplotlib inline\n", "")
    program = f"REPOSITORY = {repository!r}\n{source}\n{then}"
    return run_python(program, folder, environment)


def run_python(program: str, folder: Path, environment: dict) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8"
    )


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def commit(origin: Path, number: int) -> None:
    """Commit a next state of the repository, which the number tells."""
    text = f"NUMBER = {number}{' ' * number}\n"  # of another length, or Python takes the old .pyc
    (origin / "mnist_helpers" / "__init__.py").write_text(text, encoding="utf-8")
    git(origin, "add", ".")
    git(origin, "commit", "-m", f"Number {number}")


@pytest.fixture
def origin(tmp_path) -> Path:
    """A git repository with a small package, in a folder whose name has a space."""
    origin = tmp_path / "the origin"
    (origin / "mnist_helpers").mkdir(parents=True)
    for path in ("mnist_helpers/alone.py", "pyproject.toml"):
        (origin / path).write_bytes((ROOT / path).read_bytes())
    git(origin, "init", "--initial-branch=main")
    commit(origin, 1)
    return origin


@pytest.fixture
def folder(tmp_path) -> Path:
    """Where the notebook stands alone."""
    (tmp_path / "alone").mkdir()
    return tmp_path / "alone"


TELL = "import mnist_helpers; print(mnist_helpers.__file__, mnist_helpers.NUMBER)"


def told(folder: Path, number: int) -> str:
    return f"{folder / '__init__.py'} {number}\n"


def test_the_cell_is_short():
    assert len([line for line in SETUP.splitlines() if line.strip()]) <= 15


def test_beside_the_package_it_does_nothing():
    then = "import os, sys; print(os.getcwd()); print('alone' in str(sys.modules.keys()))"
    result = run_setup(ROOT, "file:///nowhere", then)
    assert result.stdout.splitlines() == [str(ROOT), "False"], result.stderr


def test_alone_and_without_an_address_one_sentence_says_what_to_do(folder):
    result = run_setup(folder, "")
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: ") and "REPOSITORY" in last and "folder" in last
    assert list(folder.iterdir()) == []


def test_alone_and_without_git_one_sentence_says_so(origin, folder):
    result = run_setup(folder, origin.as_uri(), environment=CLEAN | {"PATH": ""})
    last = result.stderr.splitlines()[-1]
    assert last.startswith("ModuleNotFoundError: ") and "have git" in last


def test_alone_it_fetches_the_package(origin, folder):
    result = run_setup(folder, origin.as_uri(), TELL)
    assert result.stdout == told(folder / "mnist-notebook" / "mnist_helpers", 1), result.stderr


def test_after_a_restart_it_brings_a_stale_copy_up_to_date(origin, folder):
    run_setup(folder, origin.as_uri())
    commit(origin, 2)
    result = run_setup(folder, origin.as_uri(), TELL)
    assert result.stdout == told(folder / "mnist-notebook" / "mnist_helpers", 2), result.stderr


def test_run_twice_it_stays_where_it_is(origin, folder):
    source = SETUP.replace("%matplotlib inline\n", "")
    result = run_setup(folder, origin.as_uri(), f"{source}\n{TELL}")
    assert result.stdout == told(folder / "mnist-notebook" / "mnist_helpers", 1), result.stderr


@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_the_address_may_name_a_branch_or_a_tag(kind, origin, folder):
    git(origin, kind, "first")
    commit(origin, 2)
    for version, number in [("#first", 1), ("", 2), ("#first", 1)]:
        result = run_setup(folder, origin.as_uri() + version, TELL)
        told_number = told(folder / "mnist-notebook" / "mnist_helpers", number)
        assert result.stdout == told_number, result.stderr


def test_another_address_is_followed(origin, folder, tmp_path):
    run_setup(folder, origin.as_uri())
    git(tmp_path, "clone", "the origin", "fork")
    commit(tmp_path / "fork", 3)
    result = run_setup(folder, (tmp_path / "fork").as_uri(), TELL)
    assert result.stdout == told(folder / "mnist-notebook" / "mnist_helpers", 3), result.stderr


def test_without_network_the_copy_that_is_there_can_be_used(origin, folder):
    run_setup(folder, origin.as_uri())
    origin.rename(origin.with_name("gone"))
    result = run_setup(folder, origin.as_uri(), TELL)
    assert "RuntimeError: fatal: " in result.stderr  # git's own words
    last = result.stderr.splitlines()[-1]
    assert last.startswith("mnist-notebook is not up to date.")
    assert last.endswith('set REPOSITORY = "".')
    assert run_setup(folder, "", TELL).stdout.endswith("1\n")


def test_without_git_the_copy_that_is_there_can_be_used(origin, folder):
    run_setup(folder, origin.as_uri())
    result = run_setup(folder, origin.as_uri(), environment=CLEAN | {"PATH": ""})
    last = result.stderr.splitlines()[-1]
    assert last.startswith("RuntimeError: git is not installed. mnist-notebook is not up to date.")
    assert run_setup(folder, "", TELL, CLEAN | {"PATH": ""}).stdout.endswith("1\n")


def test_changes_of_ones_own_in_the_copy_are_not_lost(origin, folder):
    run_setup(folder, origin.as_uri())
    mine = folder / "mnist-notebook" / "mnist_helpers" / "__init__.py"
    mine.write_bytes(b"NUMBER = 0\n")
    commit(origin, 2)
    assert "overwritten by checkout" in run_setup(folder, origin.as_uri()).stderr
    assert mine.read_bytes() == b"NUMBER = 0\n"


def test_an_address_without_a_repository_is_refused(folder):
    result = run_setup(folder, (folder / "nothing").as_uri())
    assert "REPOSITORY" in result.stderr.splitlines()[-1]


def test_started_from_the_parent_folder_it_steps_into_the_project(origin, tmp_path):
    result = run_setup(tmp_path, "", f"{TELL}; import os; print(os.getcwd())")
    assert result.stdout == told(origin / "mnist_helpers", 1) + f"{origin}\n", result.stderr


def test_a_failed_installation_fails_again(origin, folder):
    """And doesn't leave a state in which the second run seems to succeed."""
    settings = origin / "pyproject.toml"
    text = settings.read_text(encoding="utf-8").replace('"numpy>=', '"no-such-package-anywhere>=')
    settings.write_text(text, encoding="utf-8")
    commit(origin, 2)
    source = SETUP.replace("%matplotlib inline\n", "")
    twice = f"def cell():\n{source}\n".replace("\n", "\n    ")
    twice += (
        "\nimport os\nfor _ in range(2):\n    try:\n        cell()\n"
        "    except RuntimeError as error:\n        print(os.path.basename(os.getcwd()), error)"
    )
    program = f"REPOSITORY = {origin.as_uri()!r}\n{twice}"
    result = run_python(program, folder, CLEAN | {"PIP_NO_INDEX": "1"})
    line = "This notebook needs no-such-package-anywhere>=2.0."
    errors = result.stdout.lower().count("alone error: ")  # as pip writes it, or as uv does
    assert errors == result.stdout.count(line) == 2, result


# What is installed, by whom


class Commands(list):
    """Stands for subprocess.run, and keeps what was asked of it; uv can be missing."""

    missing = None

    def __call__(self, command, **keywords):
        if command[0] == self.missing:
            raise FileNotFoundError
        self.append(command)
        return subprocess.CompletedProcess(command, 0)


@pytest.fixture
def commands(monkeypatch) -> Commands:
    commands = Commands()
    monkeypatch.setattr(alone.subprocess, "run", commands)
    return commands


@pytest.fixture
def project(tmp_path) -> Path:
    text = '[project]\ndependencies = ["torch>=2.6", "NumPy>=2.0", "no-such-package-anywhere>=1.0"]'
    (tmp_path / "pyproject.toml").write_text(text, encoding="utf-8")
    return tmp_path


MISSING = "no-such-package-anywhere>=1.0"


def test_only_what_is_missing_is_installed(project, commands, monkeypatch):
    monkeypatch.setattr(alone, "find_spec", lambda name: "pip")
    alone.install_missing(project)
    assert commands == [[sys.executable, "-m", "pip", "install", "--quiet", MISSING]]


def test_without_pip_uv_installs_it(project, commands, monkeypatch):
    monkeypatch.setattr(alone, "find_spec", lambda name: None)
    alone.install_missing(project)
    uv = ["uv", "pip", "install", "--python", sys.executable, "--quiet", MISSING]
    assert commands == [uv]


def test_with_neither_one_sentence_says_what_to_type(project, commands, monkeypatch):
    monkeypatch.setattr(alone, "find_spec", lambda name: None)
    commands.missing = "uv"
    with pytest.raises(RuntimeError, match="^uv is not installed.* -m ensurepip$"):
        alone.install_missing(project)
    assert commands == []


def test_this_project_lacks_nothing_here(commands):
    alone.install_missing(ROOT)
    assert commands == []


def test_python_310_is_told_what_is_needed(monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 10, 13))
    with pytest.raises(RuntimeError, match=r"needs Python 3\.11 or newer"):
        alone.main("")
