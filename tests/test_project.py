"""What a reader of README, and whoever installs the package, relies on."""

import ast
import re
import shlex
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest

from mnist_helpers import study

from .conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def commands(program: str) -> list[list[str]]:
    """Return the words of each command in README's line, joined by &&, that ends with a program."""
    (line,) = re.findall(rf"^python3.*/{program}\b.*", README, re.M)
    return [shlex.split(command) for command in line.split("&&")]


@pytest.mark.parametrize(
    ("program", "notebooks"), [("papermill", ["MNISTModelTraining.ipynb"]), ("pytest", [])]
)
def test_the_two_commands_install_what_is_there_and_run_the_notebook_or_the_tests(
    program, notebooks
):
    environment, install, run = commands(program)
    assert environment == ["python3", "-m", "venv", ".venv"]
    files = [file for option, file in zip(install, install[1:], strict=False) if option == "-r"]
    assert files and all((ROOT / file).is_file() for file in files)
    assert run[0] == f".venv/bin/{program}"
    assert [word for word in run if word.endswith(".ipynb")][:1] == notebooks


def test_what_is_linked_from_the_readme_is_there():
    links = re.findall(r"\]\(([^)#]+)", README)
    assert [each for each in links if ":" not in each and not (ROOT / each).exists()] == []


def test_the_readmes_ladder_is_the_studys():
    lines = (line.strip("|").split("|") for line in README.splitlines() if line.startswith("|"))
    cells = {name.strip(): re.findall(r"\d+\.\d+", " ".join(others)) for name, *others in lines}
    for rung, row in study().loc[5_000].query("on_ladder").iterrows():
        interval = ["validation_low", "validation_high"] if row["seeds"] > 1 else []
        names = ["validation_accuracy", *interval, "test_accuracy", "validation_grey_50"]
        decimals = [len(shown.partition(".")[2]) for shown in cells[rung]]
        assert cells[rung] == [
            f"{row[name]:.{count}f}" for name, count in zip(names, decimals, strict=True)
        ]


def test_what_the_package_imports_is_required_by_it():
    names = set()
    for path in (ROOT / "mnist_helpers").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
    tops = {name.split(".")[0] for name in names} - sys.stdlib_module_names
    installed = packages_distributions()  # the names of packages on the index
    needed = {installed.get(top, [top])[0].lower().replace("_", "-") for top in tops}
    required = {re.split("[><=]", each)[0] for each in PROJECT["dependencies"]}
    assert needed - {"traitlets"} <= required  # which comes with anywidget
