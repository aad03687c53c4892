import numpy as np
import pytest
import torch

from mnist_helpers import Batches, Distortion, Split, batches

from .conftest import draw_digits


def numbered(count: int) -> Split:
    """Return images that say in their first two pixels which one they are."""
    images = torch.zeros(count, 28, 28, dtype=torch.uint8)
    images[:, 0, 0], images[:, 0, 1] = torch.arange(count) // 256, torch.arange(count) % 256
    return Split(images, torch.arange(count) % 10)


def numbers(images) -> torch.Tensor:
    """Return which of the numbered images these are."""
    pixels = (images[:, 0, 0, :2] * 255).round().long()
    return pixels[:, 0] * 256 + pixels[:, 1]


def epoch(shown: Batches, losses=lambda seen: seen.float()) -> torch.Tensor:
    """Iterate over an epoch of numbered images, note losses, and return what was shown."""
    seen = []
    for images, labels in shown:
        seen.append(numbers(images))
        assert torch.equal(labels, seen[-1] % 10)
        shown.note_losses(losses(seen[-1]))
    return torch.cat(seen)


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(250, [96, 96, 58]), (192, [96, 96]), (193, [96, 97]), (97, [97]), (2, [2]), (98, [96, 2])],
)
def test_a_lone_last_image_joins_the_batch_before(count, sizes):
    shown = Batches(numbered(count), 96, 1)
    assert len(shown) == len(sizes)
    assert [len(images) for images, _ in shown] == sizes


@pytest.mark.parametrize("share", [0, 1])
def test_without_a_choice_every_epoch_shows_each_image_once(share):
    shown = Batches(numbered(300), 100, 3, hard_images=share)
    orders = [epoch(shown) for _ in range(3)]
    assert all(order.sort().values.tolist() == list(range(300)) for order in orders)
    assert len({tuple(order.tolist()) for order in orders}) == 3


def test_the_first_epoch_shows_each_image_once_and_shuffled():
    order = epoch(Batches(numbered(300), 100, 3, hard_images=0.5)).tolist()
    assert sorted(order) == list(range(300)) and order != list(range(300))


HARD = 900  # of a thousand images, those from here on


def after_one_epoch(share: float, seed: int = 0) -> torch.Tensor:
    """Return what the second epoch shows."""
    shown = Batches(numbered(1_000), 100, 2, hard_images=share, seed=seed)
    epoch(shown, lambda seen: torch.where(seen < HARD, 1e-4, 4.0))
    return epoch(shown)


def test_hard_images_come_more_often_and_none_three_times():
    counts = after_one_epoch(0.2).bincount(minlength=1_000)
    assert counts.sum() == 1_000 and counts.max() == 2
    assert counts[HARD:].float().mean() > 1.5 > 1 > counts[:HARD].float().mean()


def test_hard_images_are_shuffled_among_the_others():
    hard = (after_one_epoch(0.2) >= HARD).float()
    assert abs(hard[:500].sum() - hard[500:].sum()) < 50


def test_a_draw_goes_with_the_square_root_of_the_loss():
    shares = []
    for seed in range(100):
        shown = Batches(numbered(500), 500, 2, hard_images=0.1, seed=seed)
        epoch(shown, lambda seen: torch.where(seen < 250, 1.0, 4.0))
        shares.append((epoch(shown) >= 250).float().mean().item())
    # A tenth is drawn: twice as often from the second half. The others are any images.
    assert np.mean(shares) == pytest.approx(0.9 * 0.5 + 0.1 * 2 / 3, abs=0.006)


def test_the_seed_decides_what_is_shown():
    assert torch.equal(after_one_epoch(0.5, seed=1), after_one_epoch(0.5, seed=1))
    assert not torch.equal(after_one_epoch(0.5, seed=1), after_one_epoch(0.5, seed=2))


def test_each_image_keeps_a_moving_average_of_its_losses():
    shown = Batches(numbered(250), 96, 2)
    for factor, expected in ((1, 1), (2, 0.7 + 0.3 * 2)):
        epoch(shown, lambda seen, factor=factor: factor * (seen + 1.0))
        assert torch.allclose(shown.losses, expected * torch.arange(1.0, 251))


def test_of_two_losses_of_one_image_in_a_batch_the_larger_is_kept():
    """In whatever order a device writes them: here one batch holds a whole epoch."""
    shown = Batches(numbered(400), 400, 2, hard_images=0.5)
    epoch(shown, lambda seen: torch.ones(len(seen)))
    for images, _ in shown:
        seen, losses = numbers(images), torch.rand(len(images)) + 1
        shown.note_losses(losses)
    twice = [image for image in range(400) if (seen == image).sum() == 2]
    assert twice
    for image in twice:
        expected = 0.7 + 0.3 * losses[seen == image].max()
        assert shown.losses[image].item() == pytest.approx(expected.item())


def test_without_distortion_images_are_as_they_are_in_the_files():
    split = draw_digits(30)
    (batch,) = Batches(split, 30, 1)
    images = (batch[0][:, 0] * 255).round().byte()
    expected, found = (sorted(each.flatten(1).tolist()) for each in (split.images, images))
    assert expected == found


def test_the_training_ends_with_images_as_they_are(monkeypatch):
    strengths = []

    def note(images, distortion, generator, *, strength):
        strengths.append(strength)
        return images

    monkeypatch.setattr(batches, "distort", note)
    shown = Batches(numbered(250), 96, 10, distortion=Distortion())
    for _ in range(10):
        epoch(shown)
    assert strengths[:19] == [1.0] * 19
    assert all(
        later < before for before, later in zip(strengths[18:], strengths[19:], strict=False)
    )
    assert strengths[24] == pytest.approx(0.5) and strengths[-1] == pytest.approx(1 / 12)


def test_a_state_that_is_loaded_goes_on_with_the_same_images():
    first, second = (
        Batches(draw_digits(100), 30, 3, distortion=Distortion(), hard_images=0.5) for _ in range(2)
    )
    for images, _ in first:
        first.note_losses(torch.rand(len(images)))
    second.load_state_dict(first.state_dict())
    for batch, other in zip(list(first), list(second), strict=True):
        assert torch.equal(batch[0], other[0]) and torch.equal(batch[1], other[1])
    assert first.epoch == second.epoch == 2


def test_numpys_whole_numbers_are_whole_numbers():
    shown = Batches(numbered(4), np.int64(2), np.int32(3), seed=np.int64(1))
    assert len(shown) == 2 and shown.epochs == 3


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="at least two images, but there is one"):
        Batches(numbered(1), 2, 1)


@pytest.mark.parametrize("value", [0, -1, 1.5, "10", None, True, float("nan")])
@pytest.mark.parametrize("name", ["epochs", "batch_size"])
def test_a_count_that_is_none_is_refused(name, value):
    with pytest.raises((TypeError, ValueError), match=f"{name} must be .*{value!r}"):
        Batches(numbered(4), **({"epochs": 2, "batch_size": 2} | {name: value}))


def test_batches_of_one_image_are_refused():
    with pytest.raises(ValueError, match="batch_size must be 2 or more"):
        Batches(numbered(4), 1, 2)


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "half"])
def test_a_share_that_is_none_is_refused(value):
    with pytest.raises((TypeError, ValueError), match=f"hard_images must be .*{value!r}"):
        Batches(numbered(4), 2, 2, hard_images=value)
