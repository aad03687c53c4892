"""Studies in real processes: stopped, killed and gone on with; and what their table says."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pandas as pd
import psutil
import pytest
import torch
from distributed import LocalCluster
from filelock import FileLock, Timeout
from joblib import parallel_config
from scipy import stats
from sklearn.neighbors import NearestCentroid

from mnist_helpers import evaluate
from research import robustness, study
from research.recipes import LADDER, RECIPES, Recipe, hidden_layer, linear
from research.runner import RESULTS, run_missing

from .conftest import ROOT, draw_digits
from .small_study import TRIALS, square

SQUARES = {"0": "0", "1": "1", "2": "4", "3": "9", "4": "16"}


def squares(output: Path) -> dict[str, str]:
    with output.open(newline="", encoding="utf-8") as file:
        return {row["number"]: row["square"] for row in csv.DictReader(file)}


def wait_for(condition) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_ctrl_c_keeps_what_is_done_and_ends_the_workers(tmp_path):
    output = tmp_path / "squares.csv"
    command = [sys.executable, "-m", "tests.small_study", str(output)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True, **quiet)
    try:
        wait_for(lambda: len(list(tmp_path.glob("waiting-*"))) == 2 and len(squares(output)) == 2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(120) != 0
        workers = [int(path.name.split("-")[1]) for path in tmp_path.glob("waiting-*")]
        wait_for(lambda: not any(map(psutil.pid_exists, workers)))
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert squares(output) == {"0": "0", "1": "1"}


def test_a_study_killed_in_the_middle_of_a_row_goes_on_from_the_rows_before_it(tmp_path):
    output, asked = tmp_path / "squares.csv", []
    run_missing(output, TRIALS[:2], square, ["square"])
    with output.open("a", encoding="utf-8") as file:
        file.write("2,")

    def noted(number: int) -> dict:
        asked.append(number)
        return square(number)

    for _ in range(2):  # a finished study adds no row
        run_missing(output, TRIALS, noted, ["square"])
    assert asked == [2, 3, 4] and squares(output) == SQUARES


def test_a_trial_that_fails_leaves_the_rows_before_it(tmp_path):
    output = tmp_path / "squares.csv"
    with pytest.raises(TypeError):
        run_missing(output, [*TRIALS[:2], {"number": None}], square, ["square"])
    assert squares(output) == {"0": "0", "1": "1"}


def test_two_studies_do_not_write_to_one_table(tmp_path):
    output = tmp_path / "squares.csv"
    with FileLock(f"{output}.lock"), pytest.raises(Timeout, match=output.name):
        run_missing(output, TRIALS, square, ["square"])


def test_a_table_with_other_columns_is_left_alone(tmp_path):
    output = tmp_path / "squares.csv"
    output.write_text("seed\n1\n", encoding="utf-8")
    with pytest.raises(ValueError, match="number"):
        run_missing(output, TRIALS, square, ["square"])
    assert output.read_text(encoding="utf-8") == "seed\n1\n"


def test_a_cluster_fills_the_table_as_one_machine_does(tmp_path):
    output = tmp_path / "squares.csv"
    small = {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    # Dask leaves OMP_NUM_THREADS=1 behind, which would slow other tests.
    with (
        mock.patch.dict(os.environ),
        LocalCluster(**small) as cluster,
        parallel_config("dask", scheduler_host=cluster.scheduler_address),
    ):
        run_missing(output, TRIALS, square, ["square"])
    assert squares(output) == SQUARES


# The study's command and its table


@pytest.fixture
def small(monkeypatch, splits, one_thread):
    """The study's command with two tiny recipes and drawn digits; call it with a table's path."""
    recipes = {
        "linear": Recipe(linear, epochs=1, images=300, held_out=50, seeds=2),
        "hidden layer": Recipe(hidden_layer, epochs=1, images=350, held_out=0, seeds=1),
    }
    for module in ("study", "recipes"):
        monkeypatch.setattr(f"research.{module}.RECIPES", recipes)
    for module in ("runner", "recipes"):
        monkeypatch.setattr(f"research.{module}.load", lambda root: splits)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)  # and back, afterwards
    return lambda output: study.main(["--output", str(output), "--processes", "1"])


def test_a_row_of_the_study_has_the_accuracies_of_its_network_on_white_and_on_grey_paper(
    small, tmp_path, splits
):
    small(tmp_path / "study.csv")
    rows = study.read(tmp_path / "study.csv").set_index(["recipe", "seed"]).sort_index()
    assert list(rows.index) == [("hidden layer", 0), ("linear", 0), ("linear", 1)]
    assert rows["validation_accuracy"].isna().tolist() == [True, False, False]
    model = study.RECIPES["linear"].train(1, splits)[0]
    images, labels = splits.test.tensors
    for name, grey in {"accuracy": 0, "grey_20": 0.2, "grey_50": 0.5, "grey_70": 0.7}.items():
        logits = model(torch.lerp(images / 255, torch.ones(()), grey))
        expected = 100 * (logits.argmax(dim=1) == labels).float().mean().item()
        assert rows.loc[("linear", 1), f"test_{name}"] == pytest.approx(expected, abs=2)


def test_the_same_seed_gives_the_same_row_and_another_seed_another(small, tmp_path):
    tables = []
    for name in ("first.csv", "second.csv"):
        small(tmp_path / name)
        tables.append(study.read(tmp_path / name).drop(columns="seconds"))
    pd.testing.assert_frame_equal(*tables)
    losses = tables[0].loc[tables[0]["recipe"] == "linear", "test_loss"]
    assert losses.nunique() == 2


def test_rows_of_another_version_are_not_read_and_are_trained_again(small, tmp_path):
    output = tmp_path / "study.csv"
    small(output)
    table = pd.read_csv(output)
    table["version"] = "1998-11"
    table.to_csv(output, index=False)
    assert study.read(output).empty
    small(output)
    assert len(study.read(output)) == 3 and len(pd.read_csv(output)) == 6


def test_a_recipe_takes_its_images_from_the_lessons_training_and_validation_images(splits):
    all_images = torch.cat([splits.training.tensors[0], splits.validation.tensors[0]])
    data = Recipe(images=260, held_out=40).split(splits)
    assert torch.equal(data.training.tensors[0], all_images[:260])
    assert torch.equal(data.validation.tensors[0], all_images[-40:])
    assert data.test is splits.test
    assert Recipe(images=350, held_out=0).split(splits).validation is None


@pytest.mark.parametrize("name", RECIPES)
def test_the_network_of_each_recipe_gives_ten_logits(name):
    assert RECIPES[name].network()(torch.rand(3, 1, 28, 28)).shape == (3, 10)


@pytest.mark.filterwarnings("ignore:self.within_class_std_dev_")
def test_the_nearest_mean_is_scikit_learns():
    training, test = draw_digits(200), draw_digits(50, seed=1)
    network = LADDER["nearest mean"].network().fit(training)
    pixels = [images.tensors[0].flatten(1).numpy() / 255 for images in (training, test)]
    expected = NearestCentroid().fit(pixels[0], training.tensors[1]).predict(pixels[1])
    assert network(test.tensors[0] / 255).argmax(dim=1).tolist() == expected.tolist()


def test_the_summary_has_means_and_students_intervals_over_the_seeds():
    accuracies = [99.5, 99.7, 99.4, 99.6]
    rows = pd.DataFrame({"recipe": "linear, 5,000 images", "seconds": 1,
                         "validation_loss": [0.1, 0.2, 0.3, 0.4], "test_loss": 0.1}
                        | {f"{split}_{name}": accuracies for split in ("validation", "test")
                           for name in ("accuracy", "grey_20", "grey_50", "grey_70")})  # fmt: skip
    line = study.summarise(rows).loc[(5_000, "linear")]
    interval = stats.ttest_1samp(accuracies, 0).confidence_interval(0.95)
    assert line["seeds"] == 4 and line["test_accuracy"] == 99.55
    assert line["test_low"] == pytest.approx(interval.low, abs=0.0006)
    assert line["test_high"] == pytest.approx(interval.high, abs=0.0006)
    assert line["validation_loss"] == 0.25


def test_the_table_in_the_package_is_the_summary_of_the_studys_rows(tmp_path):
    study.summarise(study.read(RESULTS / "study.csv")).to_csv(tmp_path / "summary.csv")
    summary, shipped = map(pd.read_csv, (tmp_path / "summary.csv", study.SUMMARY))
    pd.testing.assert_frame_equal(summary, shipped)


# Robustness


def test_robustness_run_again_adds_no_row_and_clean_images_are_the_test_images(
    splits, one_thread, monkeypatch, tmp_path
):
    tiny = Recipe(linear, epochs=1, images=300, held_out=50, seeds=2)
    monkeypatch.setattr(robustness, "RECIPES", {"linear": tiny})
    for module in ("runner", "robustness"):
        monkeypatch.setattr(f"research.{module}.load", lambda root: splits)
    arguments = ["--output", str(tmp_path / "robustness.csv"), "--processes", "1"]
    robustness.main(arguments)
    before = (tmp_path / "robustness.csv").read_bytes()
    robustness.main(arguments)
    assert (tmp_path / "robustness.csv").read_bytes() == before
    rows = pd.read_csv(tmp_path / "robustness.csv").set_index("seed")
    accuracy = evaluate(tiny.train(1, splits)[0], splits.test).accuracy
    assert len(rows) == 2 and rows.loc[1, "clean 0"] == pytest.approx(100 * accuracy)


INK, PAPER = (torch.full((50, 1, 28, 28), ink, dtype=torch.uint8) for ink in (255, 0))


@pytest.mark.parametrize(
    ("name", "images", "measure", "expected"),
    [  # what is measured is on damaged copies x, in [0, 1]
        ("clean 0", INK, lambda x: x.min(), 1),
        ("fog 1", PAPER, lambda x: x.mean(), 0.25),  # clouds of 0.5 on the average, halved
        ("grey paper 0.5", PAPER, lambda x: x.mean(), 0.5),
        ("shadow 0.6", PAPER, lambda x: x[..., 27].mean(), 0.6),
        ("gaussian noise 0.2", PAPER, lambda x: x[x > 0].square().mean().sqrt(), 0.2),
        ("cover 6", INK, lambda x: (x == 0).sum() / 50, 36),
    ],
)
def test_a_damage_has_the_strength_that_its_name_says(name, images, measure, expected):
    damaged = robustness.damage(name, images)
    assert measure(damaged / 255).item() == pytest.approx(expected, rel=0.05)
    assert torch.equal(damaged, robustness.damage(name, images))  # each time the same


def test_half_of_each_batch_is_damaged_in_training(splits):
    torch.manual_seed(0)
    images = splits.training.tensors[0][:96] / 255
    changed = robustness.augment_and_damage(images, strength=0)  # which moves none
    apart = (changed - images).abs().amax(dim=(1, 2, 3))
    assert (apart[:48] > 0.05).float().mean() > 0.9  # but for the faintest
    assert (apart[48:] < 0.01).all()
    assert changed.min() >= 0 and changed.max() <= 1
