from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn import metrics
from torch import nn

from mnist_helpers import (
    MNIST,
    Batches,
    DigitClassifier,
    Distortion,
    TrainingConfig,
    TrainingDiverged,
    evaluate,
    runtime,
    to_device,
    train,
    train_epoch,
)
from mnist_helpers.evaluation import predict_logits

from .conftest import perceptron, same_weights


def channels_of_our_own() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(4, 8, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 2 * 2, 10),
    )  # fmt: skip


def sizes_from_the_images() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


@pytest.mark.parametrize(
    "make", [DigitClassifier, perceptron, channels_of_our_own, sizes_from_the_images]
)
def test_any_network_learns(make, splits):
    torch.manual_seed(0)
    model = to_device(make(), torch.device("cpu"))
    config = TrainingConfig(epochs=6, batch_size=25, distortion=None, learning_rate=0.01)
    history = train(model, splits, config)
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1]["training_loss"] < 0.8 * history[0]["training_loss"]
    assert history[-1]["validation_accuracy"] > 0.4  # of ten digits that are not in one place


def test_two_epochs_on_two_thousand_images_teach_a_lot(data):
    torch.manual_seed(0)
    some = MNIST(data.train[:2_000], data.validation[:1_000], data.test)
    history = train(DigitClassifier(), some, TrainingConfig(epochs=2))
    assert history[-1]["validation_accuracy"] > 0.9


def trained(splits, seed=5):
    torch.manual_seed(0)
    model = DigitClassifier()
    return model, train(model, splits, TrainingConfig(epochs=2, seed=seed))


def test_the_same_seed_gives_the_same_bits(splits):
    first = trained(splits)
    torch.rand(7)  # what is drawn elsewhere in between must not matter
    second = trained(splits)
    assert first[1] == second[1] and same_weights(first[0], second[0])
    assert not same_weights(first[0], trained(splits, seed=6)[0])


def test_train_is_the_loop_that_one_can_write_oneself(splits):
    model, history = trained(splits)
    torch.manual_seed(0)
    own = DigitClassifier()
    batches = Batches(splits.train, 96, 2, distortion=Distortion(), hard_images=0.5, seed=5)
    optimizer = torch.optim.Adam(own.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=2 * len(batches), cycle_momentum=False
    )
    for row in history:
        assert (row["training_loss"], row["training_accuracy"]) == train_epoch(
            own, batches, optimizer, schedule
        )
        assert row["validation_loss"] == evaluate(own, splits.validation).loss
    assert same_weights(model, own)


def test_the_validation_figures_are_those_of_the_finished_epoch(splits):
    model, history = trained(splits)
    labels = splits.validation.labels
    probabilities = predict_logits(model, splits.validation.images).double().softmax(dim=1)
    loss = metrics.log_loss(labels, probabilities, labels=range(10))
    assert history[-1]["validation_loss"] == pytest.approx(loss, rel=1e-4)
    accuracy = metrics.accuracy_score(labels, probabilities.argmax(dim=1))
    assert history[-1]["validation_accuracy"] == pytest.approx(accuracy)


class Recorder(nn.Module):
    """A network that counts its batches; each image's logits are its label's weight alone."""

    def __init__(self):
        super().__init__()
        self.weight, self.batches = nn.Parameter(torch.zeros(10)), []

    def forward(self, images):
        if self.training:
            self.batches.append((images * 255).round().byte()[:, 0])
        return self.weight.expand(len(images), 10)


def test_without_a_choice_every_image_is_trained_on_once_an_epoch(splits):
    model = Recorder()
    config = TrainingConfig(epochs=2, distortion=None, hard_images=0)
    history = train(model, splits, config)
    assert [len(batch) for batch in model.batches] == [96, 96, 58] * 2
    expected = sorted(splits.train.images.flatten(1).tolist())
    for epoch in (model.batches[:3], model.batches[3:]):
        assert sorted(torch.cat(epoch).flatten(1).tolist()) == expected
    assert not torch.equal(model.batches[0], model.batches[3])  # in another order
    assert len(history) == 2


def test_the_training_figures_are_means_over_images_not_batches(digits):
    """With a network that doesn't change: three unequal batches of logits that are all 0."""
    model = Recorder()
    frozen = torch.optim.SGD(model.parameters(), lr=0.0)
    schedule = torch.optim.lr_scheduler.ConstantLR(frozen, factor=1.0)
    loss, accuracy = train_epoch(model, Batches(digits, 96, 1), frozen, schedule)
    assert loss == pytest.approx(np.log(10), rel=1e-6)
    assert accuracy == pytest.approx((digits.labels == 0).float().mean().item())


def test_a_step_follows_the_gradient_of_the_mean_loss(digits, monkeypatch):
    monkeypatch.setattr(runtime, "has_bfloat16", lambda: False)  # which rounds too coarsely
    model = perceptron().eval()
    plain = deepcopy(model).train()
    batches = Batches(digits[:30], 30, 1)
    optimizers = [torch.optim.SGD(each.parameters(), lr=0.1) for each in (model, plain)]
    schedule = torch.optim.lr_scheduler.ConstantLR(optimizers[0], factor=1.0)
    torch.manual_seed(1)
    (batch,) = Batches(digits[:30], 30, 1)
    F.cross_entropy(plain(batch[0]), batch[1]).backward()
    optimizers[1].step()
    torch.manual_seed(1)
    train_epoch(model, batches, optimizers[0], schedule)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def rates(splits, config: TrainingConfig, monkeypatch) -> list[float]:
    """Return the learning rate of each step."""
    found = []
    step = torch.optim.Adam.step

    def note(self, *arguments):
        found.append(self.param_groups[0]["lr"])
        return step(self, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", note)
    train(perceptron(), splits, config)
    return found


def test_the_learning_rate_rises_and_falls(splits, monkeypatch):
    config = TrainingConfig(epochs=4, batch_size=25, learning_rate=0.01)
    found = rates(splits, config, monkeypatch)
    top = found.index(max(found))
    assert len(found) == 40 and max(found) == pytest.approx(0.01, rel=0.01)
    assert found[:top] == sorted(found[:top]) and found[top:] == sorted(found[top:], reverse=True)
    assert top == pytest.approx(0.3 * 40, abs=1) and found[-1] < 1e-5


def test_the_learning_rate_can_stay_as_it_is(splits, monkeypatch):
    config = TrainingConfig(epochs=2, one_cycle=False, learning_rate=0.01)
    assert rates(splits, config, monkeypatch) == [0.01] * 6


@pytest.mark.parametrize("count", [2, 8, 97, 193])
def test_any_number_of_images_above_one_can_be_trained_on(count, digits):
    some = digits[:count]
    assert len(train(DigitClassifier(), MNIST(some, some, some), TrainingConfig(epochs=2))) == 2


def test_numpys_numbers_are_numbers(splits):
    config = TrainingConfig(
        epochs=np.int64(1), batch_size=np.int32(50), hard_images=np.float32(0.5),
        learning_rate=np.float64(1e-3), seed=np.int64(1),
    )  # fmt: skip
    plain = TrainingConfig(epochs=1, batch_size=50, learning_rate=1e-3, seed=1)
    torch.manual_seed(0)
    expected = train(perceptron(), splits, plain)
    torch.manual_seed(0)
    assert train(perceptron(), splits, config) == expected


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("epochs", [0, -1, 1.5, "10", None, True, float("nan")]),
        ("batch_size", [0, 1, 1.5, None]),
        ("learning_rate", [0, -1e-3, "fast", None, float("nan"), float("inf")]),
        ("hard_images", [-0.1, 1.1, float("nan"), None]),
    ],
)
def test_a_value_that_no_training_can_use_is_refused_by_name(name, values):
    for value in values:
        with pytest.raises((TypeError, ValueError), match=f"{name} must be .*{value!r}"):
            TrainingConfig(**{name: value})


def test_a_count_that_is_no_whole_number_is_told_so():
    with pytest.raises(TypeError, match="epochs must be a whole number, but it is 1.5"):
        TrainingConfig(epochs=1.5)


def test_a_learning_rate_that_is_much_too_high_stops_the_training(splits):
    history = []
    config = TrainingConfig(learning_rate=1e36)
    with pytest.raises(TrainingDiverged, match="became (nan|inf) in epoch 1.*lower learning rate"):
        train(DigitClassifier(), splits, config, history=history)
    assert history == []


def poison_at(model: nn.Module, last: int, act) -> nn.Module:
    """Let something happen when the network gets so many training batches."""
    seen = []

    def count(model, inputs):
        seen.append(model.training)
        if sum(seen) == last and model.training:
            act()

    model.register_forward_pre_hook(count)
    return model


def test_a_loss_that_becomes_nan_keeps_the_epochs_before(splits):
    model, history = perceptron(), []
    poison_at(model, 7, lambda: model[-1].bias.data.fill_(float("nan")))
    with pytest.raises(TrainingDiverged, match="nan in epoch 3.* 2 whole epochs"):
        train(model, splits, TrainingConfig(epochs=5), history=history)
    assert [row["epoch"] for row in history] == [1, 2]


def test_an_interruption_is_seen_and_keeps_the_epochs_before(splits):
    def interrupt():
        raise KeyboardInterrupt

    history = []
    with pytest.raises(KeyboardInterrupt):
        model = poison_at(perceptron(), 5, interrupt)
        train(model, splits, TrainingConfig(), history=history)
    assert [row["epoch"] for row in history] == [1]


def test_even_a_short_training_reports_its_end(splits):
    lines = []
    train(perceptron(), splits, TrainingConfig(epochs=1), report=lines.append)
    assert lines[-1] == ""


@pytest.mark.parametrize("outputs", [9, 11])
def test_another_number_of_logits_is_refused_before_the_first_step(outputs, splits):
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, outputs))
    before = model[1].weight.clone()
    with pytest.raises(ValueError, match=rf"ten logits.*\[2, {outputs}\]"):
        train(model, splits, TrainingConfig(epochs=1))
    assert torch.equal(model[1].weight, before)


def test_probabilities_instead_of_logits_are_warned_of(splits):
    model = nn.Sequential(perceptron(), nn.Softmax(dim=1))
    with pytest.warns(UserWarning, match="returns probabilities"):
        train(model, splits, TrainingConfig(epochs=1))
