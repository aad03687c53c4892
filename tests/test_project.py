"""What stands in more than one file must agree."""

import ast
import json
import re
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from .conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REQUIREMENTS = [
    line.strip()
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if line[:1].isalpha()
]
MODULES = {path.stem: path for path in (ROOT / "mnist_helpers").glob("*.py")}
BROUGHT = {"traitlets", "nbconvert", "ipykernel", "jupyter-client", "psutil"}  # by what is declared
SHOWN = {"plots", "own_digits", "drawing"}  # what only notebooks import


def names(requirements: list[str]) -> set[str]:
    return {re.split("[><=]", line)[0] for line in requirements}


def imported_by(source: str) -> set[tuple[int, str]]:
    """Return what code imports, also within functions: the level of the import and the name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {(0, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add((node.level, node.module))
        elif isinstance(node, ast.ImportFrom):
            found |= {(node.level, alias.name) for alias in node.names}
    return found


def code_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".ipynb":
        return text
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    code = "\n".join("".join(cell["source"]) for cell in cells)
    return re.sub(r"^\s*[%!].*$", "pass", code, flags=re.M)  # commands to the shell


def distributions_of(paths) -> set[str]:
    """Return the packages from elsewhere that the files import, as the index names them."""
    found = {each for path in paths for each in imported_by(code_of(path))}
    tops = {name.split(".")[0] for level, name in found if not level}
    tops -= sys.stdlib_module_names | {"mnist_helpers", "research", "tests"}
    installed = packages_distributions()
    return {installed.get(top, [top])[0].lower().replace("_", "-") for top in tops} - BROUGHT


def test_every_requirement_is_a_lower_bound():
    for requirement in [*REQUIREMENTS, *PROJECT["dependencies"]]:
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+", requirement), requirement


def test_the_package_requires_what_the_project_requires():
    assert set(PROJECT["dependencies"]) <= set(REQUIREMENTS)


def test_the_package_declares_what_it_imports():
    assert distributions_of(MODULES.values()) == names(PROJECT["dependencies"])


@pytest.mark.parametrize(
    "pattern", ["research/*.py", "tests/*.py", "tests/browser/*.py", "*.ipynb", "research/*.ipynb"]
)
def test_the_requirements_hold_what_the_rest_imports(pattern):
    optional = names(sum(PROJECT["optional-dependencies"].values(), []))
    assert distributions_of(ROOT.glob(pattern)) - optional <= names(REQUIREMENTS)


def imports_within_package() -> dict[str, set[str]]:
    return {
        module: {name for level, name in imported_by(code_of(path)) if level == 1}
        for module, path in MODULES.items()
    }


def test_the_package_does_not_import_research():
    for module, path in MODULES.items():
        tops = {name.split(".")[0] for _, name in imported_by(code_of(path))}
        assert not tops & {"research", "tests"}, module


def test_imports_run_one_way():
    try:
        TopologicalSorter(imports_within_package()).prepare()
    except CycleError as error:
        pytest.fail(f"These modules import one another: {error.args[1]}")


def test_nothing_below_imports_what_is_for_notebooks():
    for module, imported in imports_within_package().items():
        if module not in SHOWN | {"__init__", "__main__"}:
            assert not imported & SHOWN, module


def test_what_is_lowest_imports_nothing_of_the_package():
    for module in ("runtime", "download", "checks", "progress"):
        assert not imports_within_package()[module], module


def lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


@pytest.mark.parametrize("module", MODULES)
def test_no_file_of_the_package_is_long(module):
    assert lines(MODULES[module]) <= 200


def test_the_package_is_small():
    assert sum(map(lines, MODULES.values())) <= 2_220


def test_the_readme_begins_with_the_two_commands():
    blocks = re.findall(r"```\w*\n(.*?)```", README, re.S)[:2]
    assert all(block.count("\n") == 1 for block in blocks)
    run, check = blocks
    assert "papermill" in run and "MNISTModelTraining.ipynb" in run
    assert check.endswith("pytest\n")
    for block in blocks:
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install -r requirements")


def test_what_is_linked_from_the_readme_is_there():
    links = re.findall(r"\]\(([^)#]+)", README)
    missing = [each for each in links if ":" not in each and not (ROOT / each).exists()]
    assert links and not missing


def test_the_licence_is_the_one_that_is_declared():
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert licence.startswith(f"{PROJECT['license']} License")
    assert f"license: {PROJECT['license']}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_the_citation_has_the_packages_version():
    version = re.search(
        r"^version: \"?([\d.]+)", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.M
    )
    assert version and version[1] == PROJECT["version"]
