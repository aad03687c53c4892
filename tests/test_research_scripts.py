"""That the scripts measure what they say, on a few images; what they measured is in results/."""

import math
import os

import numpy as np
import pytest
import torch
from scipy import ndimage

from mnist_helpers import MNIST, predict_proba, to_mnist
from mnist_helpers.data import to_float
from research import robustness, running, scaling, search, speed, tables, time_to_accuracy
from research.baselines import FiveConvolutions, VariedClassifier
from research.robustness import DAMAGES, damage
from research.variants import Variant

from .conftest import draw_digits, perceptron
from .small_study import load_random
from .test_research_study import read

SCRIPTS = [robustness, scaling, search, speed, time_to_accuracy]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_each_script_explains_itself(script, capsys):
    with pytest.raises(SystemExit) as stopped:
        script.main(["--help"])
    text = capsys.readouterr().out
    assert stopped.value.code == 0 and "--output" in text and "--data" in text


# Robustness

HARMLESS = {"scale": 1, "faint ink": 1}


@pytest.fixture
def images():
    return draw_digits(40).images


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_begins_with_none(name, images):
    strength = HARMLESS.get(name, 0)
    assert strength in DAMAGES[name].strengths and DAMAGES[name].typical in DAMAGES[name].strengths
    assert (damage(name, strength, images).int() - images.int()).abs().max() <= 1


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_repeatable_and_does_something(name, images):
    for strength in set(DAMAGES[name].strengths) - {HARMLESS.get(name, 0)}:
        first, second = (damage(name, strength, images) for _ in range(2))
        assert torch.equal(first, second) and not torch.equal(first, images)


def test_a_rotation_is_scipys_in_one_direction_or_the_other(images):
    for turned, image in zip(damage("rotation", 30, images), images, strict=True):
        both = [ndimage.rotate(image.numpy().astype(float), degrees, reshape=False, order=1)
                for degrees in (30, -30)]  # fmt: skip
        assert min(np.abs(turned.numpy() - one).max() for one in both) < 3


def test_a_shift_moves_the_centre_of_ink_by_its_length():
    image = torch.zeros(20, 28, 28, dtype=torch.uint8)
    image[:, 13:15, 13:15] = 255
    for moved in damage("shift", 4, image):
        row, column = ndimage.center_of_mass(moved.numpy())
        assert math.hypot(row - 13.5, column - 13.5) == pytest.approx(4, abs=0.05)


def test_strokes_get_thinner_and_thicker(images):
    ink = [damage("stroke width", pixels, images).sum().item() for pixels in (-2, -1, 0, 1, 2)]
    assert ink == sorted(ink) and ink[0] < 0.7 * ink[2] and ink[4] > 1.3 * ink[2]


def test_an_outline_is_scipys_inner_gradient(images):
    eroded = ndimage.grey_erosion(images.numpy(), size=(1, 3, 3), mode="nearest")
    difference = damage("outlines", 1, images).numpy().astype(int) - (images.numpy() - eroded)
    assert np.abs(difference).max() <= 1


def test_a_bright_side_is_a_stripe_on_the_left_or_on_the_right():
    stripes = damage("bright side", 3, torch.zeros(50, 28, 28, dtype=torch.uint8))
    left, right = stripes[:, :, :3] == 255, stripes[:, :, 25:] == 255
    sides = left.all(dim=(1, 2)).int() + right.all(dim=(1, 2)).int()
    assert (sides == 1).all() and (stripes.long().sum(dim=(1, 2)) == 255 * 3 * 28).all()


def test_a_row_is_the_accuracy_on_the_damaged_images():
    model, split = perceptron(), draw_digits(50)
    faint = (split.images.float() * 0.3).round().byte()
    right = (predict_proba(model, faint).argmax(dim=1) == split.labels).double().mean().item()
    rows = {(row["damage"], row["strength"]): row for row in
            robustness.measure_robustness(model, split)}  # fmt: skip
    assert rows["faint ink", 0.3]["accuracy"] == pytest.approx(100 * right, abs=0.01)
    assert len(rows) == sum(len(each.strengths) for each in DAMAGES.values())


def test_robustness_is_measured_once_for_each_network_and_seed(tmp_path, monkeypatch, one_thread):
    small = Variant(config={"epochs": 1}, network=perceptron)
    monkeypatch.setattr(robustness, "VARIANTS", {"final": small, "tutorials": small})
    monkeypatch.setattr(robustness, "load_mnist", lambda root: load_random())
    monkeypatch.setattr(robustness, "SEEDS", 1)
    monkeypatch.setattr(robustness, "DAMAGES", {"shift": DAMAGES["shift"]})
    output = tmp_path / "robustness.csv"
    for _ in range(2):
        robustness.main(["--output", str(output), "--processes", "1"])
        assert len(read(output)) == 2 * len(DAMAGES["shift"].strengths)


def test_the_robustness_of_all_networks_was_measured():
    assert robustness.missing_trials(read(tables.RESULTS / "robustness.csv")) == []


# Search


def test_the_search_holds_out_the_last_training_images_and_sees_no_test_image():
    data = search.hold_out(load_random, count=50)
    whole = load_random()
    images = torch.cat([whole.train.images, whole.validation.images])
    assert torch.equal(data.train.images, images[:-50])
    assert torch.equal(data.validation.images, images[-50:])
    assert data.test is data.validation


def test_the_search_adds_what_is_missing(tmp_path, monkeypatch, one_thread):
    small = {"none": Variant(images=90, config={"epochs": 1}, network=perceptron)}
    monkeypatch.setattr(search, "CHANGES", small)
    monkeypatch.setattr(search, "load_mnist", lambda root: load_random())
    monkeypatch.setattr(search.hold_out, "__defaults__", (50,))
    output = tmp_path / "search.csv"
    for seeds in ("1", "2", "2"):
        search.main(["--output", str(output), "--processes", "1", "--seeds", seeds])
    assert [row["seed"] for row in read(output)] == ["0", "1"]


def test_old_rows_of_the_search_name_the_commit_that_can_run_them():
    rows = read(tables.RESULTS / "search.csv")
    assert all(row["configuration"] for row in rows if row["recipe"] == "d269081")
    recipes = {name: variant.recipe() for name, variant in search.CHANGES.items()}
    new = [row for row in rows if row["recipe"] != "d269081"]
    assert all(row["recipe"] == recipes[row["change"]] for row in new)


@pytest.mark.parametrize("network", [FiveConvolutions, lambda: VariedClassifier((64, 128))])
def test_the_searchs_networks_give_ten_logits(network):
    assert network()(torch.rand(3, 1, 28, 28)).shape == (3, 10)


# Speed, time to accuracy, scaling


@pytest.fixture
def few_batches(monkeypatch, data):
    monkeypatch.setattr(speed, "WARM_UP", 1)
    monkeypatch.setattr(speed, "BATCHES", 2)
    monkeypatch.setattr(speed, "load_mnist", lambda root: MNIST(*[draw_digits(400)] * 3))


# Worker processes and a compiler would take longer than all others together.
@pytest.mark.parametrize("name", sorted(set(speed.CONTENDERS) - {"idiom_2_workers", "compiled"}))
def test_every_way_of_training_has_its_speed(few_batches, raw, name):
    row = speed.measure_speed(name, 0, str(raw.parents[1]))
    assert int(row["images_per_second"]) > 0


def test_the_speed_is_that_of_the_batches_after_the_warm_up(monkeypatch):
    times = iter([10.0, 12.0])
    monkeypatch.setattr(speed, "WARM_UP", 3)
    monkeypatch.setattr(speed.time, "perf_counter", lambda: next(times))
    stopwatch = speed.Stopwatch()
    assert list(stopwatch.watch(range(8))) == list(range(8))
    assert stopwatch.images_per_second == 5 * 96 / 2


def test_layers_are_reordered_after_both_convolutions():
    model = speed.DigitClassifier()
    speed.reorder(model, 1, 2, 0)
    names = [type(layer).__name__ for layer in model.layers]
    assert names[2:5] == names[6:9] == ["BatchNorm2d", "ReLU", "MaxPool2d"]


@pytest.mark.parametrize("name", ["ours", "train_mnist_fast"])
def test_the_fast_recipes_learn(monkeypatch, name):
    digits = draw_digits(6_000)
    splits = MNIST(digits, digits[:100], draw_digits(200, seed=1))
    monkeypatch.setattr(time_to_accuracy, "load_mnist", lambda root: splits)
    row = time_to_accuracy.run_trial(name, 0, "")
    assert row["accuracy"] > 80 and row["seconds"] > 0


def test_a_training_of_any_size_is_a_point_of_the_scaling():
    point = scaling.train_point(images=200, epochs=1, batch_size=64)
    assert point["images_per_second"] == pytest.approx(200 / point["seconds"], rel=0.02)


def test_the_picture_of_ones_holds_so_many_digits():
    model = perceptron()
    assert len(scaling.read_digits(model, scaling.draw_ones(3))) == 3
    assert to_mnist(scaling.draw_ones(1)).shape == (28, 28)


# How measurements go on


def measure_squares(output, values=(1, 2, 3)) -> None:
    trials = [{"value": value} for value in values]
    running.measure_in_turn(output, trials, lambda value: {"square": value**2}, ["square"])


@pytest.fixture
def in_this_process(monkeypatch):
    calls = []

    def call(function, arguments):
        calls.append(arguments)
        return function(**arguments)

    monkeypatch.setattr(running, "in_own_process", call)
    return calls


def test_measurements_go_on_where_they_were_stopped(tmp_path, in_this_process):
    measure_squares(tmp_path / "squares.csv", (1, 2))
    measure_squares(tmp_path / "squares.csv")
    assert [call["value"] for call in in_this_process] == [1, 2, 3]
    assert [row["square"] for row in read(tmp_path / "squares.csv")] == ["1", "4", "9"]


def test_measurements_of_two_machines_do_not_mix(tmp_path, in_this_process, monkeypatch):
    measure_squares(tmp_path / "squares.csv", (1,))
    elsewhere = tables.describe_machine() | {"processor": "another"}
    monkeypatch.setattr(running, "describe_machine", lambda: elsewhere)
    with pytest.raises(RuntimeError, match="begun on another machine"):
        measure_squares(tmp_path / "squares.csv")
    assert len(read(tmp_path / "squares.csv")) == 1


def test_a_measurement_has_a_process_of_its_own():
    assert running.in_own_process(os.path.join, {"a": "x"}) == "x"
    assert running.in_own_process(os.getpid, {}) != os.getpid()


def test_a_measurement_may_start_processes_itself():
    nested = {"function": os.path.join, "arguments": {"a": "x"}}
    assert running.in_own_process(running.in_own_process, nested) == "x"


def test_the_machine_is_described_in_full():
    described = tables.describe_machine()
    assert list(described) == tables.MACHINE and all(described.values())
    assert described["precision"] in ("bfloat16", "float32")


def test_grey_paper_is_as_dark_as_it_says(images):
    grey = to_float(damage("grey paper", 0.5, images))
    assert grey.min().item() == pytest.approx(0.5, abs=0.01)
