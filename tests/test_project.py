"""What stands in more than one file must agree."""

import re
import tomllib

import pandas as pd
import torch

from mnist_helpers import charts
from mnist_helpers.study import COLUMNS, VARIANTS

from .conftest import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIREMENTS = [
    line for line in (ROOT / "requirements.txt").read_text().splitlines() if line[:1].isalpha()
]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_requirement_is_a_lower_bound():
    for requirement in [*REQUIREMENTS, *PROJECT["dependencies"]]:
        assert re.fullmatch(r"[a-z0-9-]+>=[\d.]+", requirement), requirement


def test_the_package_requires_what_the_project_requires():
    assert set(PROJECT["dependencies"]) <= set(REQUIREMENTS)


def test_the_package_declares_what_it_imports():
    distribution = {"sklearn": "scikit-learn", "IPython": "ipython", "pypi_simple": "pypi-simple"}
    declared = {re.split(">=", line)[0] for line in PROJECT["dependencies"]}
    imported = set()
    for path in ROOT.glob("mnist_helpers/*.py"):
        imported |= set(re.findall(r"^(?:import|from) (\w+)", path.read_text(), re.M))
    standard = {name for name in imported if name in __import__("sys").stdlib_module_names}
    assert {distribution.get(name, name) for name in imported - standard} == declared
    assert "distributed" in {re.split(">=", line)[0] for line in REQUIREMENTS}  # imported on demand


def test_the_readme_begins_with_the_two_commands():
    blocks = re.findall(r"```\w*\n(.*?)```", README, re.S)[:2]
    assert all(block.count("\n") == 1 for block in blocks)
    run, check = blocks
    assert "papermill" in run and "MNISTModelTraining.ipynb" in run
    assert check.endswith("pytest\n")
    for block in blocks:
        assert block.startswith("python3 -m venv .venv && .venv/bin/pip install -r requirements")


def test_the_study_is_of_the_present_recipes():
    study = pd.read_csv(ROOT / "results" / "study.csv")
    assert list(study.columns) == COLUMNS
    assert not study.duplicated(["variant", "seed"]).any()
    comparable = study[
        study["torch"] == str(torch.__version__)
    ]  # another may print layers otherwise
    for variant, rows in comparable.groupby("variant"):
        assert set(rows["recipe"]) == {VARIANTS[variant].recipe()}, variant


def test_the_readme_says_what_the_study_measured():
    final = charts.summarise(pd.read_csv(ROOT / "results" / "study.csv")).loc["final"]
    assert final["seeds"] == 10
    assert f"{final['mean']:.2f} % ± {final['half width']:.2f}" in README


def test_the_readme_says_what_the_speed_benchmark_measured():
    table = pd.read_csv(ROOT / "results" / "training_speed.csv")
    speeds = table.pivot(index="round", columns="contender", values="images_per_second")
    for contender in speeds:
        ratio = (speeds[contender] / speeds["idiom"]).median()
        assert f"| {ratio:.2f} |" in README, contender


def test_no_file_of_the_package_is_long():
    for path in ROOT.glob("mnist_helpers/*.py"):
        assert len(path.read_text().splitlines()) <= 220, path.name
