import pandas as pd
import pytest
from scipy import stats

from mnist_helpers import charts

from .conftest import drawn

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


def test_the_summary_holds_means_and_student_intervals(study):
    line = charts.summarise(study).loc["final"]
    interval = stats.ttest_1samp(ACCURACIES["final"], 0).confidence_interval(0.95)
    assert line["mean"] == pytest.approx(99.6)
    assert line["mean"] - line["half width"] == pytest.approx(interval.low)
    assert line["seeds"] == 3


def test_one_seed_has_no_interval(study):
    line = charts.summarise(study).loc["20,000 images"]
    assert line["mean"] == 99.3 and pd.isna(line["half width"])


def test_variants_are_sorted_and_the_final_recipe_is_a_line(study):
    (axis,) = drawn(charts.variants(study)).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names[0] == "1,000 images (2)" and names[-1] == "final (3)"
    assert list(axis.lines[0].get_xdata()) == pytest.approx([0.4, 0.4])
    assert "99.05 %" in [text.get_text() for text in axis.texts]


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
    assert summary.loc["deeper", "half width"] == pytest.approx(bound)


def test_a_difference_beyond_chance_is_one_that_a_t_test_would_find(trials):
    summary = charts.summarise_search(trials)
    assert stats.ttest_ind(LOSSES["none"], LOSSES["wider"]).pvalue < 0.05
    assert dict(summary["beyond chance"]) == {"final": False, "wider": True, "deeper": False}


def test_the_searchs_figure_leaves_out_what_was_tried_less_often(trials):
    (axis,) = drawn(charts.search(trials)).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert names == ["wider (3)", "final (3)"]
    assert list(axis.lines[0].get_xdata()) == pytest.approx([0.016, 0.016])


def test_learning_curves_go_over_images_and_epochs(study):
    images, epochs = drawn(charts.learning_curves(study)).axes
    assert list(images.lines[0].get_xdata()) == [1_000, 6_000, 20_000, 60_000]
    assert list(images.lines[0].get_ydata()) == pytest.approx([2.8, 1.15, 0.7, 0.4])
    assert list(epochs.lines[0].get_xdata()) == [1, 3, 10]
    assert list(epochs.lines[0].get_ydata()) == pytest.approx([0.75, 0.55, 0.4])


def test_speeds_are_ratios_within_a_round():
    speeds = {"idiom": (100, 200), "ours": (400, 600), "limit": (500, 1_000)}
    speeds |= {"tensor_dataset": (110, 220), "idiom_2_workers": (90, 180)}
    rows = [
        {"contender": name, "round": number, "images_per_second": value}
        for name, values in speeds.items()
        for number, value in enumerate(values)
    ]
    (axis,) = drawn(charts.speed(pd.DataFrame(rows))).axes
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([1, 0.9, 1.1, 3.5])
    assert any("5.0x" in text.get_text() for text in axis.texts)


def test_robustness_has_a_panel_for_each_damage_and_a_line_for_each_network():
    variants = [("final", 0, 99), ("final", 1, 98), ("tutorials", 0, 99), ("tutorials", 1, 20)]
    columns = ["variant", "strength", "accuracy"]
    blur = pd.DataFrame(variants, columns=columns).assign(damage="blur", unit="pixels")
    figure = drawn(charts.robustness(pd.concat([blur, blur.assign(damage="noise")])))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["blur", "noise"]
    assert [list(line.get_ydata()) for line in figure.axes[0].lines] == [[99, 98], [99, 20]]
