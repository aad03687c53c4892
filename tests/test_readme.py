"""The README's numbers are those of the tables."""

import re

import pandas as pd
import pytest
from scipy import stats

from .conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "research" / "results"


@pytest.mark.parametrize(
    ("variant", "row"), [("final", "60,000 images"), ("55,000 images", "55,000 images")]
)
def test_the_accuracies_of_the_study(variant, row):
    study = pd.read_csv(RESULTS / "study.csv")
    accuracy = study.loc[study["variant"] == variant, "test_accuracy"]
    half_width = accuracy.sem() * stats.t.ppf(0.975, len(accuracy) - 1)
    (line,) = [line for line in README.splitlines() if line.startswith("|") and row in line]
    assert line.endswith(f"| {accuracy.mean():.2f} % ± {half_width:.2f} |")
    assert f"{len(accuracy)} seeds" in line


@pytest.mark.parametrize(
    ("preparation", "row"),
    [("resized", "scikit-learn's digits"), ("to_mnist", "`to_mnist`, developed")],
)
def test_the_accuracies_on_other_peoples_digits(preparation, row):
    table = pd.read_csv(RESULTS / "own_digits.csv")
    is_row = (table["data set"] == "scikit-learn's digits") & (table["preparation"] == preparation)
    columns = ["accuracy", "low", "high"]
    ((accuracy, low, high),) = 100 * table.loc[is_row, columns].to_numpy()
    (line,) = [line for line in README.splitlines() if line.startswith("|") and row in line]
    assert line.endswith(f"| {accuracy:.1f} % ({low:.1f} to {high:.1f}) |")


def test_the_readme_is_short():
    assert len(re.findall(r"[A-Za-z0-9']+", README)) <= 700
