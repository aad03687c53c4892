"""The report and its figures, whatever has been measured: nothing yet, a little, or everything."""

import shutil

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from scipy import stats

from research import charts, robustness
from research.scaling import VARIED
from research.search import CHANGES
from research.speed import CONTENDERS
from research.tables import MACHINE, RESULTS
from research.variants import VARIANTS

from .conftest import ROOT, drawn

ACCURACIES = {
    "final": [99.6, 99.7, 99.5],
    "tutorials": [99.1, 99.0],
    "1 epoch": [99.2, 99.3],
    "3 epochs": [99.5, 99.4],
    "1,000 images": [97.0, 97.4],
    "6,000 images": [98.9, 98.8],
    "20,000 images": [99.3],
}


@pytest.fixture(scope="module")
def study():
    rows = [(name, value) for name, values in ACCURACIES.items() for value in values]
    return pd.DataFrame(rows, columns=["variant", "test_accuracy"])


def invent(folder, share: float) -> None:
    """Write tables as the scripts write them, with the first part of their rows."""
    random = np.random.default_rng(0)

    def write(name: str, rows: list[dict]) -> None:
        columns = charts.TABLES[name] + MACHINE
        rows = [dict.fromkeys(MACHINE, "x") | row for row in rows[: int(share * len(rows))]]
        pd.DataFrame(rows, columns=columns).to_csv(folder / f"{name}.csv", index=False)

    recipes = {name: variant.recipe() for name, variant in VARIANTS.items()}
    study = [
        {"variant": name, "recipe": recipes[name], "seed": seed, "test_loss": 0.01,
         "test_accuracy": random.normal(99.5, 0.1), "calibration_error": 0.1,
         "validation_losses": "0.02 0.01", "test_errors": f"3:5 {10 + seed}:1"}
        for seed in range(10) for name, variant in VARIANTS.items() if seed < variant.seeds
    ]  # fmt: skip
    write("study", study)
    write("robustness", [
        {"variant": name, "seed": 0, "damage": damage, "strength": strength, "unit": each.unit,
         "accuracy": random.uniform(80, 99)}
        for name in ("final", "tutorials") for damage, each in robustness.DAMAGES.items()
        for strength in each.strengths
    ])  # fmt: skip
    write("own_digits", [
        {"data set": name, "preparation": how, "images": 100, "right": 98, "accuracy": 0.98,
         "low": 0.95, "high": 0.995}
        for name in ("USPS", "Semeion") for how in ("resized", "to_mnist")
    ])  # fmt: skip
    write(
        "digit_detector",
        [{"kind": name, "pictures": 200, "refused": 0.9} for name in ("letters", "noise, salt")],
    )
    write("speed", [
        {"contender": name, "round": number, "images_per_second": random.uniform(900, 4_000)}
        for number in range(1, 6) for name in CONTENDERS
    ])  # fmt: skip
    write("time_to_accuracy", [
        {"contender": name, "seed": seed, "seconds": random.uniform(1, 9), "accuracy": 99.1}
        for seed in range(10) for name in ("ours", "train_mnist_fast")
    ])  # fmt: skip
    write("scaling", [
        {"varied": varied, "value": value, "round": number, "seconds": 1.0}
        for number in range(1, 4) for varied, values in VARIED.items() for value in values
    ])  # fmt: skip
    write("search", pd.read_csv(RESULTS / "search.csv").to_dict("records") + [
        {"change": name, "recipe": "0123abcd", "seed": seed, "validation_accuracy": 99.5,
         "validation_loss": random.normal(0.016, 0.001)}
        for seed in range(6) for name in CHANGES
    ])  # fmt: skip


@pytest.mark.parametrize("share", [0, 0.03, 1], ids=["nothing", "little", "all"])
def test_the_report_runs_with_whatever_has_been_measured(data, tmp_path, monkeypatch, share):
    shutil.copy(RESULTS / "published.csv", tmp_path)
    invent(tmp_path, share)
    monkeypatch.setattr(charts, "RESULTS", tmp_path)
    monkeypatch.chdir(ROOT / "research")
    names = {}
    for cell in nbformat.read("Research.ipynb", as_version=4).cells:
        if cell.cell_type == "code":
            lines = cell.source.replace("%matplotlib inline", "").splitlines()
            *before, last = "\n".join(lines).rsplit("\n", 1) if len(lines) > 1 else lines
            exec("\n".join(before), names)
            if not last.startswith((" ", "pd.options")):
                shown = eval(last, names)
                assert shown is not None
                if isinstance(shown, Figure):
                    drawn(shown)
    missing = charts.describe_tables()["missing"]
    assert (missing["study"] == "") == (share == 1)


def test_each_figure_of_the_report_has_alternative_text():
    for cell in nbformat.read(ROOT / "research" / "Research.ipynb", as_version=4).cells:
        pictures = [one for one in cell.get("outputs", []) if "image/png" in one.get("data", {})]
        assert bool(cell.metadata.get("alt")) or not pictures


def test_the_report_is_committed_executed_and_without_paths():
    notebook = nbformat.read(ROOT / "research" / "Research.ipynb", as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.execution_count
            assert all(output.output_type != "stream" for output in cell.outputs)
    assert str(ROOT) not in nbformat.writes(notebook)
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata


def test_the_summary_holds_means_and_student_intervals(study):
    line = charts.summarise(study).loc["final"]
    interval = stats.ttest_1samp(ACCURACIES["final"], 0).confidence_interval(0.95)
    assert line["mean"] == pytest.approx(99.6)
    assert line["mean"] - line["half width"] == pytest.approx(interval.low)
    assert line["seeds"] == 3


def test_one_seed_has_no_interval(study):
    line = charts.summarise(study).loc["20,000 images"]
    assert line["mean"] == 99.3 and pd.isna(line["half width"])


def test_a_difference_is_shown_if_welchs_interval_leaves_out_zero(study):
    table = charts.differences(study)
    test = stats.ttest_ind(ACCURACIES["1 epoch"], ACCURACIES["final"], equal_var=False)
    assert table.loc["1 epoch", "difference"] == pytest.approx(-0.35)
    assert table.loc["1 epoch", "high"] == pytest.approx(test.confidence_interval(0.95).high)
    assert list(table.loc[["tutorials", "3 epochs"], "shown"]) == ["yes", "no"]
    assert "final" not in table.index


def test_seeds_without_a_spread_have_a_difference_without_an_interval(study):
    same = pd.DataFrame({"variant": ["same", "same"], "test_accuracy": [99.5, 99.5]})
    lines = charts.differences(pd.concat([study, same])).loc[["same", "20,000 images"]]
    assert lines["difference"].tolist() == pytest.approx([-0.1, -0.3])
    assert lines[["low", "high"]].isna().all(axis=None)
    assert lines["shown"].tolist() == ["-", "-"] and lines["seeds"].tolist() == [2, 1]


def test_variants_are_sorted_and_the_final_recipe_is_a_line(study):
    (axis,) = drawn(charts.variants(study, list(ACCURACIES))).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[0] == "final (3)" and names[-1] == "1,000 images (2)"
    assert list(axis.lines[0].get_xdata()) == pytest.approx([0.4, 0.4])


def test_learning_curves_go_over_images_and_epochs(study):
    images, epochs = drawn(charts.learning_curves(study)).axes
    assert list(images.lines[0].get_xdata()) == [1_000, 6_000, 20_000, 60_000]
    assert list(images.lines[0].get_ydata()) == pytest.approx([2.8, 1.15, 0.7, 0.4])
    assert list(epochs.lines[0].get_ydata()) == pytest.approx([0.75, 0.55, 0.4])


def test_errors_are_counted_by_image():
    table = pd.DataFrame({"variant": ["final"] * 3 + ["other"],
                          "test_errors": ["3:5 8:1", "8:2 3:5", "8:2", "9:1"]})  # fmt: skip
    errors = charts.errors_by_image(table)
    assert errors.to_dict() == {"seeds": {3: 2, 8: 3}, "answer": {3: 5, 8: 2}}
    assert charts.errors_by_image(table[:0]).empty


LOSSES = {"none": [0.016, 0.017, 0.015], "wider": [0.021, 0.02, 0.022], "deeper": [0.015]}


@pytest.fixture(scope="module")
def trials():
    rows = [(name, value) for name, values in LOSSES.items() for value in values]
    return pd.DataFrame(rows, columns=["change", "validation_loss"]).assign(validation_accuracy=99)


def test_the_search_is_summarised_with_the_spread_that_all_changes_share(trials):
    summary = charts.summarise_search(trials)
    bound = 0.001 * stats.t.ppf(0.975, 4)  # each change's deviation is 0.001; 2 + 2 + 0 are free
    assert list(summary.loc["wider", ["mean", "networks"]]) == pytest.approx([0.021, 3])
    assert summary.loc["wider", "half width"] == pytest.approx(bound / 3**0.5)
    assert dict(summary["beyond chance"]) == {"none": False, "wider": True, "deeper": False}


def test_speeds_are_ratios_within_a_round():
    speeds = {"idiom": (100, 200), "ours": (400, 600), "limit": (500, 1_000)}
    rows = [
        {"contender": name, "round": number, "images_per_second": value}
        for name, values in speeds.items()
        for number, value in enumerate(values)
    ]
    (axis,) = drawn(charts.speed(pd.DataFrame(rows))).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == ["this project", "usual loop"]
    assert "3.50" in [text.get_text() for text in axis.texts]


def test_typical_damages_are_those_of_the_script():
    rows = [
        {"damage": "rotation", "strength": strength, "unit": "degrees", "variant": "final",
         "accuracy": accuracy}
        for strength, accuracy in ((20, 98.0), (20, 99.0), (30, 50.0))
    ]  # fmt: skip
    assert charts.typical_damages(pd.DataFrame(rows))["final"].tolist() == [98.5]


def test_published_networks_are_sorted_with_this_recipe_among_them(study):
    lines = charts.published(study).splitlines()[2:]
    assert len(lines) == len(pd.read_csv(RESULTS / "published.csv")) + 2
    assert "Wan" in lines[0] and "this recipe" in "".join(lines) and "LeNet" in lines[-2]
