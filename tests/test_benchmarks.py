"""That the benchmarks still run, on a few batches; what they measure is in results/."""

import json
import sys

import pandas as pd
import pytest
import torch

from mnist_helpers import MNIST, Split, TrainingConfig, training

from .conftest import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))
import recipe_search
import scaling
import step_choices
import time_to_accuracy
import training_speed


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Few batches; and what a contender changes in its own process is changed back in this one."""
    for module in (step_choices, training_speed):
        monkeypatch.setattr(module, "WARM_UP", 1)
        monkeypatch.setattr(module, "BATCHES", 2)
    monkeypatch.setattr(training_speed, "IMAGES", 3 * 96)
    for name in ("keep_freed_memory", "make_optimizer", "training_step", "distort"):
        monkeypatch.setattr(training, name, getattr(training, name))
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.mark.parametrize("name", sorted(set(training_speed.CONTENDERS) - {"idiom_2_workers"}))
def test_every_way_of_training_has_its_speed(data, name):
    assert training_speed.images_per_second(name, seed=0) > 0


@pytest.mark.parametrize("name", sorted(set(step_choices.CHOICES) - {"compiled"}))
def test_every_choice_in_the_step_can_be_taken_back(data, name):
    assert step_choices.milliseconds_a_step(name) > 0


def test_layers_are_reordered_after_both_convolutions():
    names = [type(layer).__name__ for layer in step_choices.normalised_before_pooling().layers]
    assert names[2:5] == names[6:9] == ["BatchNorm2d", "ReLU", "MaxPool2d"]


@pytest.mark.parametrize("recipe", time_to_accuracy.CHOICES.values(), ids=time_to_accuracy.CHOICES)
def test_the_fast_recipes_learn(data, recipe):
    some = Split(data.train.images[:6_000], data.train.labels[:6_000])
    network = time_to_accuracy.fit_ours(some, recipe).eval()
    logits = network(time_to_accuracy.inner(data.validation.images[:500], recipe.border))
    right = logits.argmax(dim=1) == data.validation.labels[:500]
    assert right.float().mean() > 0.8


def test_a_training_of_any_size_is_a_point_of_the_scaling():
    point = scaling.train_point(images=200, epochs=2, batch_size=64, threads=1)
    assert point["images_per_second"] > 0 and point["peak_megabytes"] >= 0
    assert scaling.answer_point(1)["seconds"] > 0
    assert TrainingConfig().batch_size == scaling.BASE["batch_size"]


def test_the_searchs_table_says_what_each_configuration_changes():
    trials = pd.read_csv(ROOT / "results" / "search.csv", keep_default_na=False)
    assert list(trials.columns) == recipe_search.COLUMNS
    for configuration, change in zip(trials["configuration"], trials["change"], strict=True):
        assert recipe_search.change(json.loads(configuration)) == change
    assert recipe_search.change(recipe_search.FINAL) == "none"
    assert recipe_search.change(recipe_search.FINAL | {"uphill": 0.1}) == "uphill 0.1"


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"uphill": 0.05},
        {"peers": 2},
        {"averages": [0.9]},
        {"deep": True},
        {"views": "shadows", "gate": 8, "margin": 0.5, "second_hidden": 32},
        {"views": "deskewed", "mixup": 0.2, "views_a_batch": 2, "sampling": "bicubic"},
        {"pool1": 3, "circular2": 3, "kernel2": 7, "maxout2": 2, "normalise_before_pooling": True},
    ],
)
def test_a_trial_of_the_search_learns(data, monkeypatch, change):
    parts = [Split(part.images[:960], part.labels[:960]) for part in (data.train, data.validation)]
    few = MNIST(*parts, data.test)
    monkeypatch.setattr(recipe_search, "load_mnist", lambda *_, validation_size: few)
    rows = recipe_search.run_trial(recipe_search.FINAL | {"epochs": 2} | change, 0, "")
    assert len(rows) == 1 + bool({"peers", "averages"} & set(change))
    assert all(row["validation_accuracy"] > 60 for row in rows)
