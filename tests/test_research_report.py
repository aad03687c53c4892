"""The report's findings, of invented tables."""

import re
import shutil

import pandas as pd
import pytest
from scipy import stats

from research import charts, own_digits, robustness, speed, study
from research.recipes import LADDER, RECIPES, VARIANTS
from research.runner import MACHINE, RESULTS

from .conftest import drawn

ACCURACIES = {name: [90 + place, 90.1 + place, 90.2 + place] for place, name in enumerate(LADDER)}
ACCURACIES |= dict.fromkeys([*VARIANTS, charts.FEWER], [98.4, 98.5, 98.6])
ACCURACIES |= {charts.LAST: [98.5, 98.6, 98.7], charts.BEFORE: [98.6, 98.5, 98.4]}
ACCURACIES |= {"1 epoch": [97.0, 97.1, 97.2], charts.MORE: [99.4, 99.5, 99.6]}
ACCURACIES |= dict.fromkeys(charts.PARTS[:2], [97.3, 97.4, 97.5])
ACCURACIES |= {charts.PARTS[2]: [99.7, 99.8, 99.9]}


@pytest.fixture
def results(tmp_path):
    """A folder of invented tables, and the published results."""
    shutil.copy(RESULTS / "published.csv", tmp_path)
    machine = dict.fromkeys(MACHINE, "x") | {"commit": "01215e5"}

    def write(name: str, rows: list[dict]) -> None:
        pd.DataFrame([row | machine for row in rows]).to_csv(tmp_path / f"{name}.csv", index=False)

    write("study", [
        {"recipe": name, "version": RECIPES[name].version, "seed": seed, "seconds": 1,
         "validation_accuracy": value, "validation_loss": 0.1, "test_accuracy": value,
         "test_loss": 0.1, "test_errors": "1:0"}
        for name, values in ACCURACIES.items() for seed, value in enumerate(values)
    ])  # fmt: skip
    speeds = dict.fromkeys(speed.contenders(), 900) | {"float32 limit": 4_000}
    speeds |= {"usual loop, float32": 1_000, "lesson, float32": 3_000}
    write("speed", [
        {"contender": name, "round": number, "images_per_second": number * value}
        for number in (1, 2) for name, value in speeds.items()
    ])  # fmt: skip
    write("own_digits", [
        {"data set": name, "preparation": preparation, "seed": seed, "images": 1_000,
         "right": 800 + 20 * place + 30 * seed}
        for name in ("scikit-learn's digits", "pen strokes")
        for place, preparation in enumerate(own_digits.PREPARATIONS) for seed in range(3)
    ])  # fmt: skip
    write("robustness", [
        {"recipe": name, "seed": seed, "version": robustness.RECIPES[name].version}
        | dict.fromkeys(robustness.MEASURED, 80 + 5 * place)
        for place, name in enumerate(robustness.RECIPES) for seed in range(3)
    ])  # fmt: skip
    return tmp_path


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def test_every_figure_is_drawn_with_a_text_for_those_who_cannot_see_it(results):
    for finding in charts.findings(results).values():
        assert drawn(finding.figure).alt


@pytest.mark.parametrize("name", ["ladder", "parts", "robustness", "elsewhere", "speed"])
def test_a_finding_names_the_commits_of_its_rows(name, results):
    assert "01215e5" in getattr(charts, name)(results).note


@pytest.mark.parametrize(
    ("name", "expected"),
    [("ladder", {9.9, 1.4, 7, 6}), ("parts", {6, 2, 18, 5}), ("robustness", {85, 90, 95}),
     ("published", {1, 7}), ("speed", {3, 75})],
)  # fmt: skip
def test_an_answer_has_the_numbers_of_the_tables(name, expected, results):
    assert expected <= set(numbers(getattr(charts, name)(results).answer))


def test_a_difference_of_means_has_welchs_interval(results):
    rows = study.read(results / "study.csv")
    table = charts.compare({"step": (rows, charts.LAST, charts.BEFORE)})
    change, low, high, p_value = table.loc["step"]
    test = stats.ttest_ind([98.5, 98.6, 98.7], [98.6, 98.5, 98.4], equal_var=False)
    assert change == pytest.approx(0.1) and p_value == pytest.approx(test.pvalue)
    assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_p_values_are_holms(results):
    rows = study.read(results / "study.csv")
    names = ["1 epoch", "3 epochs", charts.BEFORE]  # the last two are equally far from it
    table = charts.compare({name: (rows, name, charts.LAST) for name in names})
    far, near = (
        stats.ttest_ind(values, [98.5, 98.6, 98.7], equal_var=False).pvalue
        for values in ([97.0, 97.1, 97.2], [98.4, 98.5, 98.6])
    )
    assert table["p"].tolist() == pytest.approx([3 * far, 2 * near, 2 * near])


def test_only_what_chance_does_not_explain_is_named_by_whether_it_is_better_or_worse():
    table = pd.DataFrame(
        {"points": [1, -1, 1, -1], "p": [0.01, 0.01, 0.2, 0.2]},
        index=["better", "worse", "perhaps better", "perhaps worse"],
    )
    assert charts.beyond_chance(table, 1).tolist() == ["better"]
    assert charts.beyond_chance(table, -1).tolist() == ["worse"]


def test_published_networks_are_better_above_the_interval_alone():
    published = pd.DataFrame(
        [("below", 99.5, "last"), ("at its end", 99.6, "last"), ("above", 99.7, "not said"),
         ("by test images", 99.8, "by test accuracy")],
        columns=["network", "accuracy", "epoch chosen"],
    )  # fmt: skip
    assert charts.clearly_better(published, 99.6)["network"].tolist() == ["above"]


def test_damages_are_averaged_by_their_kind():
    accuracies = pd.Series(range(len(robustness.MEASURED)), robustness.MEASURED)
    damaged = accuracies.drop("clean 0")
    kinds = damaged.index.str.rsplit(" ", n=1).str[0]
    light = damaged[kinds.isin(["fog", "grey paper", "contrast", "shadow"])]
    seen = damaged[kinds.isin(["grey paper", "contrast", "gaussian noise", "gaussian blur"])]
    means = charts.means_of_kinds(accuracies.to_frame("recipe")).loc["recipe"]
    expected = [damaged.mean(), light.mean(), damaged.drop(seen.index).mean()]
    assert means[["all", "light", "unseen"]].tolist() == pytest.approx(expected)


def test_errors_on_digits_from_elsewhere_have_students_intervals_over_the_seeds(results):
    """The errors of `boxed and centred`, in percent: 16, 13, 10."""
    half_width = stats.sem([16, 13, 10]) * stats.t.ppf(0.975, 2)
    cells = charts.elsewhere(results).note.replace("|", "\n").splitlines()
    assert [13, half_width] in [pytest.approx(numbers(each), abs=0.6) for each in cells]
