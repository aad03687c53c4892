"""Augmentation, and the training of any network."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import TensorDataset

from mnist_helpers import (
    MNIST,
    DigitClassifier,
    augment,
    evaluate,
    has_bfloat16,
    predict_proba,
    train,
)

from .conftest import draw_digits, perceptron

# Augmentation


def amounts(count: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Return where augmentation looks for what it puts at each place (y, x), counted from the
    image's middle, as matrices [count, 2, 2] and shifts [count, 2] in pixels.

    It is asked what it makes of images whose pixels are their own coordinates."""
    y, x = torch.meshgrid(*[torch.arange(28.0) - 13.5] * 2, indexing="ij")
    places = torch.stack([y, x, torch.ones(28, 28)])
    torch.manual_seed(3)
    found = augment(places.expand(count, 3, 28, 28), strength)
    solutions = []
    for moved in found:
        inside = moved[2] > 0.9999  # elsewhere the border's zeros are mixed in
        asked, given = (each[:, inside].T.double() for each in (places, moved))
        solutions.append(torch.linalg.lstsq(asked, given).solution.T.numpy())
    solutions = np.stack(solutions)
    return solutions[:, :2, :2], solutions[:, :2, 2]


@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_augmentation_keeps_to_its_bounds_and_uses_them(strength):
    matrices, shifts = amounts(200, strength)
    # A matrix is a rotation times a scale times a slant along x. Coordinates are (y, x).
    scale = np.hypot(matrices[:, 0, 1], matrices[:, 1, 1])
    angle = np.arctan2(matrices[:, 0, 1], matrices[:, 1, 1])
    slant = (matrices[:, :, 0] * matrices[:, :, 1]).sum(axis=1) / scale**2
    for found, bound in [
        (np.degrees(angle), 12.1),
        (np.log(scale), 0.12),
        (slant, 0.15),
        (shifts[:, 0], 2),
        (shifts[:, 1], 2),
    ]:
        bound = bound * strength
        assert 0.9 * bound < found.max() < bound + 1e-3
        assert -0.9 * bound > found.min() > -bound - 1e-3


def test_at_strength_zero_nothing_moves():
    images = draw_digits(20).tensors[0] / 255
    assert torch.allclose(augment(images, 0.0), images, atol=1e-5)


def test_what_comes_in_from_outside_is_paper():
    moved = augment(torch.ones(50, 1, 28, 28))
    assert moved.min() == 0 and moved.max() <= 1 + 1e-6


# Training


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def sizes_from_the_images() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(4, 5, stride=3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


def in_float64() -> nn.Module:
    return perceptron().double()


def compiled() -> nn.Module:
    """As torch.compile does it, but for the last step, which needs a C++ compiler."""
    return torch.compile(perceptron(), backend="aot_eager")


@pytest.mark.parametrize(
    "make", [DigitClassifier, perceptron, sizes_from_the_images, in_float64, compiled]
)
def test_any_network_learns(make, splits):
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    history = train(model, splits, epochs=6, batch_size=25, optimizer=optimizer, augmentation=None)
    assert history[-1]["training_loss"] < 0.8 * history[0]["training_loss"]
    assert history[-1]["validation_accuracy"] > 0.4  # of ten digits that are not in one place
    assert not model.training


def trained(splits: MNIST, seed: int) -> tuple[dict[str, torch.Tensor], list[dict]]:
    torch.manual_seed(seed)
    model = DigitClassifier()
    history = train(model, splits, epochs=2)
    return model.state_dict(), history


def test_the_same_seed_gives_the_same_bits_and_another_one_does_not(splits, one_thread):
    (weights, history), (again, history_again), (_, other) = (
        trained(splits, seed) for seed in (5, 5, 6)
    )
    torch.testing.assert_close(dict(again), dict(weights), rtol=0, atol=0)
    assert history_again == history != other


@pytest.mark.parametrize("validates", [True, False])
def test_a_row_holds_the_epoch_and_its_figures(validates, splits):
    model, validation = perceptron(), splits.validation if validates else None
    history = train(model, MNIST(splits.training, validation, None), epochs=2)
    expected = {"epoch": 2, "training_loss": history[1]["training_loss"]}
    if validates:
        found = evaluate(model, validation)
        expected |= {"validation_loss": found.loss, "validation_accuracy": found.accuracy}
    assert len(history) == 2 and history[1] == pytest.approx(expected)


def test_the_training_loss_is_a_mean_over_images_not_over_batches(splits):
    """For a network that doesn't change, and three batches of which the last is shorter."""
    model = linear()
    frozen = torch.optim.SGD(model.parameters(), lr=0.0)
    (row,) = train(model, splits, epochs=1, optimizer=frozen, augmentation=None, bfloat16=False)
    assert row["training_loss"] == pytest.approx(evaluate(model, splits.training).loss, rel=1e-5)


def test_one_line_an_epoch_is_printed_or_none(splits, capsys):
    train(linear(), splits, epochs=3)
    assert len(capsys.readouterr().out.splitlines()) == 3
    train(linear(), splits, epochs=1, verbose=False)
    assert capsys.readouterr().out == ""


def test_a_last_batch_of_one_image_trains(splits):
    one_more = TensorDataset(*(part[:97] for part in splits.training.tensors))
    history = train(DigitClassifier(), MNIST(one_more, splits.validation, None), epochs=2)
    assert math.isfinite(history[-1]["training_loss"])


def test_each_image_is_trained_on_once_an_epoch_in_another_order(splits):
    batches = []

    def note(images, strength):
        batches.append((255 * images).round().flatten(1))
        return images

    train(linear(), splits, epochs=2, augmentation=note)
    assert [len(batch) for batch in batches] == [96, 96, 58] * 2
    first, second = torch.cat(batches[:3]), torch.cat(batches[3:])
    expected = sorted(splits.training.tensors[0].flatten(1).tolist())
    assert sorted(first.tolist()) == sorted(second.tolist()) == expected
    assert not torch.equal(first, second)


def test_augmentation_has_its_full_strength_first_and_fades_in_the_last_epochs(splits):
    strengths = []

    def note(images, strength):
        assert images.min() == 0 and 0.6 < images.max() <= 1
        strengths.append(strength)
        return images

    train(linear(), splits, epochs=5, batch_size=250, augmentation=note)
    assert strengths == pytest.approx([1, 1, 1, 0.5, 0])


# Optimizers


def test_a_step_follows_the_gradient_of_the_mean_loss(splits):
    """For a linear model it is the mean of (probabilities - labels) times pixels."""
    model = linear()
    images, labels = splits.training.tensors
    pixels = images.flatten(1).double() / 255
    weights = model[1].weight.detach().double()
    errors = predict_proba(model, images).double() - nn.functional.one_hot(labels, 10)
    expected = weights - 0.1 * errors.T @ pixels / len(pixels)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    train(model, splits, epochs=1, batch_size=250, optimizer=sgd, augmentation=None, bfloat16=False)
    assert torch.allclose(model[1].weight.double(), expected, atol=1e-6)


@pytest.fixture
def rates():
    """The learning rate of each step that any optimizer takes."""
    found = []
    hook = register_optimizer_step_post_hook(
        lambda optimizer, *_: found.append(optimizer.param_groups[0]["lr"])
    )
    yield found
    hook.remove()


def test_without_an_optimizer_the_learning_rate_takes_one_cycle(rates, splits):
    train(linear(), splits, epochs=4, batch_size=25)
    top = rates.index(max(rates))
    assert len(rates) == 40 and max(rates) == pytest.approx(5e-3, rel=0.01)
    assert rates[:top] == sorted(rates[:top]) and rates[top:] == sorted(rates[top:], reverse=True)
    assert 0 < top < 39 and rates[-1] < 1e-5


@pytest.mark.parametrize(
    ("gamma", "expected"), [(None, [1] * 6), (0.5, [0.5**n for n in range(6)])]
)
def test_an_optimizer_of_ones_own_has_its_rate_or_that_of_its_schedule(
    gamma, expected, rates, splits
):
    model, schedule = linear(), None
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    if gamma:  # after each batch
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=gamma)
    train(model, splits, epochs=2, optimizer=optimizer, schedule=schedule)
    assert rates == pytest.approx(expected)


# Precision


@pytest.mark.parametrize(("asked", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_the_network_computes_in_bfloat16_where_that_is_asked_for(asked, dtype, splits):
    model, found = linear(), []
    model.register_forward_hook(lambda model, _, logits: found.append((model.training, logits)))
    train(model, splits, epochs=1, bfloat16=asked)
    assert {logits.dtype for training, logits in found if training} == {dtype}
    assert {logits.dtype for training, logits in found if not training} == {torch.float32}
    assert model[1].weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [({"avx2": True, "amx_bf16": True}, True), ({"avx2": True}, False)],
)
def test_bfloat16_is_for_processors_that_have_it(capabilities, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert has_bfloat16() is expected
    assert not has_bfloat16(torch.device("cuda"))


def test_what_cannot_train_is_refused_with_a_sentence(splits):
    model, (images, labels) = linear(), splits.training.tensors
    other = torch.optim.SGD(perceptron().parameters())
    schedule = torch.optim.lr_scheduler.ConstantLR(other)
    with pytest.raises(ValueError, match="schedule"):
        train(model, splits, schedule=schedule)
    with pytest.raises(ValueError, match="none of this model's parameters"):
        train(model, splits, optimizer=other)
    with pytest.raises(ValueError, match="uint8.*float32"):
        train(model, MNIST(TensorDataset(images / 255, labels), None, None))
    nn.init.constant_(model[1].bias, torch.nan)
    with pytest.raises(ValueError, match="loss is nan.*learning rate"):
        train(model, splits)
