import pytest
import torch

from mnist_helpers.curriculum import (
    choose_images,
    count_batches,
    distortion_strength,
    split_into_batches,
)

LOSSES = torch.cat([torch.full((900,), 1e-4), torch.full((100,), 4.0)])


def test_the_first_epoch_shows_every_image_once(generator):
    chosen = choose_images(torch.zeros(1_000), 0.5, generator)
    assert chosen.sort().values.tolist() == list(range(1_000))
    assert chosen.tolist() != list(range(1_000))


def test_later_hard_images_come_more_often_and_none_three_times(generator):
    counts = choose_images(LOSSES, 0.2, generator).bincount(minlength=1_000)
    assert counts.sum() == 1_000 and counts.max() == 2
    assert counts[900:].float().mean() > 1.5 > 1 > counts[:900].float().mean()


def test_a_draw_goes_with_the_square_root_of_the_loss(generator):
    losses = torch.tensor([1.0] * 500 + [4.0] * 500)
    drawn = torch.stack([choose_images(losses, 0.1, generator) for _ in range(200)])
    # 100 of the 1,000 are drawn: nearly twice as many of the second half; 900 are any images.
    of_second_half = (drawn >= 500).float().mean().item()
    assert of_second_half == pytest.approx(0.9 * 0.5 + 0.1 * 2 / 3, abs=0.004)


def test_hard_images_are_shuffled_among_the_others(generator):
    chosen = choose_images(LOSSES, 0.2, generator)
    hard = (chosen >= 900).float()
    assert abs(hard[:500].sum() - hard[500:].sum()) < 50


def test_the_choice_follows_the_generator():
    chosen = [choose_images(LOSSES, 0.5, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*chosen)


def test_images_are_moved_less_and_less_at_the_end():
    strengths = [distortion_strength(progress) for progress in (0, 0.3, 0.6, 0.7, 0.9, 1)]
    assert strengths == pytest.approx([1, 1, 1, 0.75, 0.25, 0])


@pytest.mark.parametrize(
    ("images", "sizes"),
    [(250, [96, 96, 58]), (192, [96, 96]), (193, [96, 97]), (97, [97]), (2, [2]), (98, [96, 2])],
)
def test_a_lone_last_image_joins_the_batch_before(images, sizes):
    batches = split_into_batches(torch.arange(images), 96)
    assert [len(batch) for batch in batches] == sizes
    assert torch.equal(torch.cat(batches), torch.arange(images))
    assert count_batches(images, 96) == len(sizes)


def test_one_image_is_too_few():
    with pytest.raises(ValueError, match="at least two images, but there is 1"):
        count_batches(1, 96)
