"""The report's findings, of invented tables."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats
from torch import nn

import mnist_helpers
from research import charts, own_digits, robustness, speed
from research.recipes import GREYS, LADDER, ON_FEW, RECIPES, VARIANTS
from research.runner import MACHINE, RESULTS

from .conftest import ROOT, drawn

RUNGS, FEW = list(LADDER), list(ON_FEW)
# The mean accuracies. On 5,000 images, a rung is two points above the one before.
MEANS = {name: 80 + 2 * place for place, name in enumerate(FEW)}
MEANS |= {name: 95 + 0.5 * place for place, name in enumerate(RUNGS)}
MEANS |= dict.fromkeys(VARIANTS, MEANS[charts.LAST]) | {"without dropout": 90, "float32": 98}
MEANS |= {charts.MORE: 99.5, "last rung, 50,000 images": 99, "110 epochs, 5,000 images": 97.5}
NOISE = np.random.default_rng(0)
ACCURACIES = {
    name: (mean + NOISE.uniform(-0.1, 0.1, 1 if name in (RUNGS[0], FEW[0]) else 4)).round(2)
    for name, mean in MEANS.items()
}
ACCURACIES |= {name: values - values.mean() + MEANS[name] for name, values in ACCURACIES.items()}


@pytest.fixture
def results(tmp_path):
    """A folder of invented tables, and the published results."""
    shutil.copy(RESULTS / "published.csv", tmp_path)
    machine = dict.fromkeys(MACHINE, "x") | {"commit": "01215e5"}

    def write(name: str, rows: list[dict]) -> None:
        pd.DataFrame([row | machine for row in rows]).to_csv(tmp_path / f"{name}.csv", index=False)

    write("study", [
        {"recipe": name, "version": RECIPES[name].version, "seed": seed, "seconds": 1,
         "validation_accuracy": value - 1, "validation_loss": 0.1, "test_accuracy": value,
         "test_loss": 0.1} | {f"test_grey_{grey}": value - grey for grey in GREYS}
        for name, values in ACCURACIES.items() for seed, value in enumerate(values)
    ])  # fmt: skip
    speeds = dict.fromkeys(speed.CONTENDERS, 900)
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


@pytest.mark.parametrize(
    "missing", [[], ["+ dropout", "110 epochs, 5,000 images"], VARIANTS, FEW[6:8]]
)
def test_the_report_is_made_of_what_has_been_measured_so_far(missing, results):
    table = pd.read_csv(results / "study.csv")
    table[~table["recipe"].isin(missing)].to_csv(results / "study.csv", index=False)
    for finding in charts.findings(results).values():
        if isinstance(finding.figure, Figure):
            assert drawn(finding.figure).alt
        else:
            assert "nan" not in finding.figure.to_html()


@pytest.mark.parametrize("name", ["steps", "elsewhere", "speed"])
def test_a_finding_names_the_commits_of_its_rows(name, results):
    assert "01215e5" in getattr(charts, name)(results).note


@pytest.mark.parametrize(
    ("name", "expected"),
    [("steps", {8, 2}), ("more_images", {8, 10, 2.5, 0.5}), ("amounts", {2.5, 1, 4, 50}),
     ("sets", {-1}), ("grey", {2, 36}), ("parts", {2, 6, 9, 0.5}), ("choices", {1, 4}),
     ("robustness", {85, 90, 95}), ("published", {4, 7, 0.5}), ("speed", {3})],
)  # fmt: skip
def test_an_answer_has_the_numbers_of_the_tables(name, expected, results):
    answer = getattr(charts, name)(results).answer
    assert {abs(number) for number in expected} <= set(numbers(answer)), answer


# Comparisons


def rows_of(**accuracies) -> pd.DataFrame:
    rows = [(name, *row) for name, values in accuracies.items() for row in enumerate(values)]
    return pd.DataFrame(rows, columns=["recipe", "seed", "test_accuracy"])


NEW, OLD = [98.5, 98.6, 98.9, 98.4], [98.4, 98.45, 98.7, 98.4]


@pytest.mark.parametrize("paired", [False, True])
def test_a_difference_of_means_has_welchs_interval_or_students_of_pairs(paired):
    rows = rows_of(new=[*NEW, 90] if paired else NEW, old=OLD).sample(frac=1, random_state=0)
    table = charts.compare(rows, {"step": ("new", "old")}, paired=paired)
    if paired:  # of the same seed
        test = stats.ttest_1samp(np.subtract(NEW, OLD), 0)
    else:
        test = stats.ttest_ind(NEW, OLD, equal_var=False)
    expected = [0.1125, *test.confidence_interval(0.95), test.pvalue]
    assert table.loc["step"].tolist() == pytest.approx(expected)


@pytest.mark.parametrize("paired", [False, True])
def test_the_nearest_mean_is_the_same_from_each_seed(paired):
    rows = rows_of(linear=NEW, **{"nearest mean": [82.0]})
    table = charts.compare(rows, {"linear": ("linear", "nearest mean")}, paired=paired)
    interval = stats.ttest_1samp(np.subtract(NEW, 82), 0).confidence_interval(0.95)
    assert table.loc["linear", ["low", "high"]].tolist() == pytest.approx(list(interval))


def test_p_values_are_holms():
    far, near = [97.0, 97.1, 97.3], [98.0, 98.2, 98.5]
    rows = rows_of(far=far, near=near, alike=near, old=OLD)
    table = charts.compare(rows, {name: (name, "old") for name in ("near", "far", "alike")})
    p_far, p_near = (stats.ttest_ind(each, OLD, equal_var=False).pvalue for each in (far, near))
    assert table["p"].to_dict() == pytest.approx(
        {"far": 3 * p_far, "near": 2 * p_near, "alike": 2 * p_near}
    )


def test_only_what_chance_does_not_explain_is_named_by_whether_it_is_better_or_worse():
    table = pd.DataFrame(
        {"mean": [1, -1, 1, -1], "p": [0.01, 0.01, 0.2, 0.2]},
        index=["better", "worse", "perhaps better", "perhaps worse"],
    )
    assert charts.beyond_chance(table, 1).to_dict() == {"better": 1}
    assert charts.beyond_chance(table, -1).to_dict() == {"worse": -1}


# Other images, other networks, speed


def test_published_networks_are_better_above_the_interval_alone(results):
    high = stats.ttest_1samp(ACCURACIES[charts.MORE], 0).confidence_interval(0.95).high
    pd.DataFrame(
        [(high - 0.01, "last"), (high + 0.01, "not said"), (99.99, "by test accuracy")],
        columns=["accuracy", "epoch chosen"],
    ).assign(
        **dict.fromkeys(["network", "link", "as published", "networks", "convolutions"], "x")
    ).to_csv(results / "published.csv", index=False)
    assert charts.published(results).answer.startswith("1 of 2 ")


def test_damages_are_averaged_by_their_kind():
    accuracies = pd.DataFrame(0.0, ["network"], list(robustness.MEASURED))
    accuracies[["fog 0.5", "fog 1", "fog 2"]] = 100.0  # of 12 of light, of 36 in all
    means = charts.means_of_kinds(accuracies).loc["network"]
    assert means[["light", "others", "all"]].tolist() == pytest.approx([25, 0, 100 * 3 / 36])


def test_accuracies_on_digits_from_elsewhere_have_students_intervals_over_the_seeds(results):
    """Those of `boxed and centred`, in percent: 84, 87, 90."""
    half_width = stats.sem([84, 87, 90]) * stats.t.ppf(0.975, 2)
    cells = charts.elsewhere(results).figure.to_numpy().flatten()
    assert [87, half_width] in [pytest.approx(numbers(each), abs=0.06) for each in cells]


def test_the_recipe_for_a_network_of_ones_own_prints_its_mean_and_interval(
    splits, monkeypatch, capsys, one_thread
):
    notebook = json.loads((ROOT / "research" / "Research.ipynb").read_text(encoding="utf-8"))
    text = "".join("".join(cell["source"]) for cell in notebook["cells"])
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.setattr(mnist_helpers, "load", lambda root, training_images: splits)
    names = {"make_network": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10))}
    exec(program, names)
    accuracies = names["accuracies"]
    interval = stats.t.interval(0.95, 4, np.mean(accuracies), stats.sem(accuracies))
    expected = [np.mean(accuracies), 95, *interval]
    assert numbers(capsys.readouterr().out) == pytest.approx(expected, abs=0.006)
