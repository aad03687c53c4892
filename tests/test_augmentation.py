import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from mnist_helpers import Distortion, augmentation, distort
from mnist_helpers.model import to_float

STILL = Distortion(rotation=0, shift=0, scale=0, shear=0, degraded=0)


@pytest.fixture
def images(few):
    return to_float(few.images[:20])


@pytest.fixture
def draw(monkeypatch):
    """Let every random number be the given one instead."""

    def fix(value):
        def rand(*shape, generator, device):
            return torch.full(shape, (value + 1) / 2, device=device)

        monkeypatch.setattr(augmentation.torch, "rand", rand)

    return fix


def test_without_bounds_nothing_moves(images, generator):
    assert torch.allclose(distort(images, STILL, generator), images, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_shift_by_whole_pixels_moves_the_pixels(images, draw, sign):
    draw(sign)
    moved = distort(images, replace(STILL, shift=2))
    expected = torch.zeros_like(images)
    if sign > 0:
        expected[..., :-2, :-2] = images[..., 2:, 2:]
    else:
        expected[..., 2:, 2:] = images[..., :-2, :-2]
    assert torch.allclose(moved, expected, atol=1e-5)


def test_a_quarter_turn_is_a_quarter_turn(images, draw):
    draw(1)
    turned = distort(images, replace(STILL, rotation=90))
    assert torch.allclose(turned, images.rot90(1, (2, 3)), atol=1e-5)


@pytest.mark.parametrize("value", [1, -1, 0.37])
def test_all_together_are_scipys_affine_map(images, draw, value):
    distortion = Distortion(rotation=30, shift=2.5, scale=0.3, shear=0.4, degraded=0)
    draw(value)
    moved = distort(images, distortion)
    angle, shrink = math.radians(30 * value), math.exp(-0.3 * value)
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    slant = np.array([[1, 0], [0.4 * value, 1]])  # rows are y, then x
    matrix = shrink * turn @ slant
    centre = np.array([13.5, 13.5])
    offset = centre - matrix @ centre + 2.5 * value
    for image, still in zip(moved[:, 0].numpy(), images[:, 0].numpy(), strict=True):
        padded = np.pad(still, 20)  # scipy's rule at the border differs from zero padding
        expected = ndimage.affine_transform(padded, matrix, offset + 20, (28, 28), order=1)
        assert np.allclose(image, expected, atol=1e-4)


def test_every_image_is_moved_differently(images, generator):
    same = images[:1].expand(5, -1, -1, -1)
    moved = distort(same, Distortion(), generator)
    assert len(torch.unique(moved.flatten(1), dim=0)) == 5


def test_the_same_seed_moves_alike(images):
    moved = [distort(images, Distortion(), torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*moved)


def test_what_comes_in_from_beyond_the_border_is_paper(generator):
    moved = distort(torch.ones(50, 1, 28, 28), Distortion(shift=10, degraded=0), generator)
    assert moved.min() == 0 and moved.max() <= 1 + 1e-6


@pytest.fixture
def degraded(data, generator):
    """800 images and what became of them: a hundred noisy, blurred, spotted and covered ones."""
    images = to_float(data.train.images[:800])
    return images, distort(images, replace(STILL, degraded=0.5), generator)


def test_without_strength_nothing_moves(images, generator):
    unmoved = distort(images, Distortion(degraded=0), generator, strength=0.0)
    assert torch.allclose(unmoved, images, atol=1e-5)


def test_half_the_strength_moves_half_as_far(images):
    halved = Distortion(rotation=6, shift=1, scale=0.06, shear=0.075, degraded=0)
    expected = distort(images, halved, torch.Generator().manual_seed(1))
    found = distort(images, Distortion(degraded=0), torch.Generator().manual_seed(1), strength=0.5)
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_share_that_is_degraded_is_the_one_asked_for(degraded):
    images, result = degraded
    changed = (result - images).abs().amax(dim=(1, 2, 3)) > 0.02
    assert changed[:400].float().mean() > 0.75
    assert not changed[400:].any()


def test_noise_has_mean_zero_and_a_bounded_deviation(degraded):
    images, result = degraded
    noise = (result - images)[:100]
    deviations = noise.std(dim=(1, 2, 3))
    assert noise.mean().abs() < 0.01
    assert deviations.max() < 0.38 and deviations.min() < 0.05


def test_blur_takes_no_ink_away(degraded):
    images, result = degraded
    before, after = images[100:200].sum(dim=(1, 2, 3)), result[100:200].sum(dim=(1, 2, 3))
    assert torch.allclose(before, after, rtol=0.01)
    assert (result[100:200].amax() <= 1 + 1e-6) and result[100:200].amin() >= 0


def test_spots_are_paper_or_ink_and_not_too_many(degraded):
    images, result = degraded
    changed = (result - images)[200:300].abs() > 0.02
    assert set(result[200:300][changed].round(decimals=3).tolist()) <= {0.0, 1.0}
    assert changed.float().mean(dim=(1, 2, 3)).max() < 0.2


def test_a_cover_is_one_square_of_at_most_nine_pixels(degraded):
    images, result = degraded
    for changed in (result - images)[300:400, 0].abs() > 0.02:
        if changed.any():
            rows, columns = changed.nonzero().T
            assert rows.max() - rows.min() < 10 and columns.max() - columns.min() < 10


def test_a_batch_of_one_is_only_moved(images, generator):
    assert distort(images[:1], Distortion(), generator).shape == (1, 1, 28, 28)
