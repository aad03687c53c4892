"""The report's findings, whatever has been measured: nothing yet, a part, or everything."""

import shutil

import pandas as pd
import pytest
from scipy import stats

from research import charts, speed
from research.recipes import LADDER, RECIPES
from research.runner import MACHINE, RESULTS

from .conftest import drawn

ACCURACIES = {name: [90 + place, 90.1 + place, 90.2 + place] for place, name in enumerate(LADDER)}
ACCURACIES |= {"+ local normalisation": [99.5, 99.6, 99.7], "+ augmentation": [99.6, 99.5, 99.4]}
ACCURACIES |= {charts.FEWER: [99.4, 99.5], charts.MORE: [99.7, 99.6]}
WRONG = {99.5: "3:5 8:1", 99.6: "8:2 3:5", 99.7: "8:2"}


@pytest.fixture
def results(tmp_path):
    """A folder of tables: those that are published, and an invented study and benchmark."""
    for name in ("own_digits", "digit_detector", "published"):
        shutil.copy(RESULTS / f"{name}.csv", tmp_path)
    machine = dict.fromkeys([*MACHINE, "commit"], "x")
    pd.DataFrame(
        {"recipe": name, "version": RECIPES[name].version, "seed": seed, "seconds": 1,
         "validation_accuracy": value, "validation_loss": 0.1, "test_accuracy": value,
         "test_loss": 0.1, "test_errors": WRONG.get(value, "1:0")} | machine
        for name, values in ACCURACIES.items() for seed, value in enumerate(values)
    ).to_csv(tmp_path / "study.csv", index=False)  # fmt: skip
    speeds = dict.fromkeys(speed.contenders(), 900) | {"float32 limit": 4_000}
    speeds |= {"usual loop, float32": 1_000, "lesson, float32": 3_000}
    pd.DataFrame(
        {"contender": name, "round": number, "images_per_second": number * value} | machine
        for number in (1, 2) for name, value in speeds.items()
    ).to_csv(tmp_path / "speed.csv", index=False)  # fmt: skip
    return tmp_path


def test_every_figure_is_drawn_with_a_text_for_those_who_cannot_see_it(results, data):
    for finding in charts.findings(results).values():
        assert drawn(finding.figure).alt


def test_without_tables_each_finding_says_what_to_run(tmp_path):
    found = charts.findings(tmp_path)
    assert all("python -m research." in each.answer for each in found.values())
    assert not any(each.figure for each in found.values())


def test_a_table_that_is_only_begun_counts_as_not_measured(results, data):
    for name in ("study", "speed"):
        table = pd.read_csv(results / f"{name}.csv")
        table[:3].to_csv(results / f"{name}.csv", index=False)
    measured = {name for name, each in charts.findings(results).items() if each.figure}
    assert measured == {"elsewhere", "no_digit"}


def test_a_difference_of_means_has_welchs_interval(results):
    rows = charts.read(results, "study", "recipe")
    change, low, high, p_value = charts.difference(rows, charts.LAST, charts.BEFORE)
    test = stats.ttest_ind([99.5, 99.6, 99.7], [99.6, 99.5, 99.4], equal_var=False)
    assert change == pytest.approx(0.1) and p_value == pytest.approx(test.pvalue)
    assert (low, high) == pytest.approx(tuple(test.confidence_interval(0.95)))


def test_only_steps_that_chance_does_not_explain_are_named(results):
    answer = charts.ladder(results).answer
    assert "+ one cycle" in answer and charts.LAST not in answer


def test_images_that_every_seed_misclassifies_are_shown_with_the_usual_prediction(results, data):
    titles = [axis.get_title() for axis in charts.errors(results).figure.axes]
    assert [title for title in titles if title] == [f"8\n{data.test.tensors[1][8]} → 2"]


def test_speeds_are_compared_within_a_round(results):
    answer = charts.speed(results).answer
    assert "3.0" in answer and "75 %" in answer
