import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from mnist_helpers import Distortion, augmentation, distort
from mnist_helpers.data import to_float

from .conftest import draw_digits

STILL = Distortion(rotation=0, shift=0, scale=0, shear=0, degraded=0)


@pytest.fixture(scope="module")
def images():
    """Drawn digits, with soft edges as MNIST's."""
    return augmentation.blur(to_float(draw_digits(20).images), 1.0)


def moved(images, *, angle=0.0, magnification=1.0, shear=0.0, shift=(0.0, 0.0)):
    """Move all images by the same amount."""
    count = len(images)
    return augmentation.move(
        images,
        angle=torch.full((count,), angle),
        magnification=torch.full((count,), magnification),
        shear=torch.full((count,), shear),
        shift=torch.tensor(shift).view(2, 1).expand(2, count),
    )


def test_without_bounds_nothing_moves(images, generator):
    assert torch.allclose(distort(images, STILL, generator), images, atol=1e-5)


@pytest.mark.parametrize("pixels", [2, -2])
def test_a_shift_by_whole_pixels_moves_the_pixels(images, pixels):
    expected = F.pad(images, (-pixels, pixels, -pixels, pixels))
    assert torch.allclose(moved(images, shift=(pixels, pixels)), expected, atol=1e-5)


def test_a_quarter_turn_is_a_quarter_turn(images):
    assert torch.allclose(moved(images, angle=math.pi / 2), images.rot90(1, (2, 3)), atol=1e-5)


@pytest.mark.parametrize("value", [1, -1, 0.37])
def test_all_together_are_scipys_affine_map(images, value):
    angle, shrink = math.radians(30 * value), math.exp(-0.3 * value)
    slant, shift = 0.4 * value, 2.5 * value
    found = moved(images, angle=angle, magnification=1 / shrink, shear=slant, shift=(shift, shift))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    matrix = shrink * turn @ np.array([[1, 0], [slant, 1]])  # rows are y, then x
    centre = np.array([13.5, 13.5])
    offset = centre - matrix @ centre + shift
    for image, still in zip(found[:, 0].numpy(), images[:, 0].numpy(), strict=True):
        padded = np.pad(still, 20)  # scipy's rule at the border differs from zero padding
        expected = ndimage.affine_transform(padded, matrix, offset + 20, (28, 28), order=1)
        assert np.allclose(image, expected, atol=1e-4)


def test_every_image_is_moved_differently(images, generator):
    same = images[:1].expand(5, -1, -1, -1)
    assert len(torch.unique(distort(same, Distortion(), generator).flatten(1), dim=0)) == 5


def test_moves_stay_within_their_bounds_and_use_them(generator):
    """A dot in the middle, moved by up to three pixels a direction."""
    dots = torch.zeros(400, 1, 28, 28)
    dots[..., 13:15, 13:15] = 1
    result = distort(dots, replace(STILL, shift=3), generator)[:, 0]
    pixels = torch.arange(28.0)
    for axis in (1, 2):
        where = (result.sum(dim=3 - axis) * pixels).sum(dim=1) / result.sum(dim=(1, 2)) - 13.5
        assert where.abs().max() <= 3.001 and where.min() < -2.8 and where.max() > 2.8


def test_the_same_seed_distorts_alike(images):
    results = [distort(images, Distortion(), torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*results)


def test_without_a_generator_pytorchs_own_is_taken(images):
    results = []
    for _ in range(2):
        torch.manual_seed(1)
        results.append(distort(images, Distortion()))
    assert torch.equal(*results)


def test_what_comes_in_from_beyond_the_border_is_paper(generator):
    result = distort(torch.ones(50, 1, 28, 28), Distortion(shift=10, degraded=0), generator)
    assert result.min() == 0 and result.max() <= 1 + 1e-6


def test_without_strength_nothing_moves(images, generator):
    unmoved = distort(images, Distortion(degraded=0), generator, strength=0.0)
    assert torch.allclose(unmoved, images, atol=1e-5)


def test_half_the_strength_moves_half_as_far(images):
    halved = Distortion(rotation=6, shift=1, scale=0.06, shear=0.075, degraded=0)
    expected = distort(images, halved, torch.Generator().manual_seed(1))
    found = distort(images, Distortion(degraded=0), torch.Generator().manual_seed(1), strength=0.5)
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.fixture(scope="module")
def degraded():
    """800 images and what became of them: a hundred noisy, blurred, spotted and covered ones."""
    images = to_float(draw_digits(800).images)
    generator = torch.Generator().manual_seed(0)
    return images, distort(images, replace(STILL, degraded=0.5), generator)


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
    before, after = (each[100:200].sum(dim=(1, 2, 3)) for each in degraded)
    blurred = degraded[1][100:200]
    assert torch.allclose(before, after, rtol=0.01)
    assert blurred.max() <= 1 + 1e-6 and blurred.min() >= 0


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


@pytest.mark.parametrize(
    "damage", [augmentation.add_noise, augmentation.add_spots, augmentation.cover]
)
def test_a_damage_with_a_seed_is_the_same_each_time(damage, images):
    results = [damage(images, 0.5, torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*results)


def test_a_damage_whose_bound_is_zero_is_left_out(images, generator):
    nothing = replace(STILL, degraded=1, noise=0, blur=0, spots=0, cover=0)
    assert torch.allclose(distort(images, nothing, generator), images, atol=1e-5)


def test_a_batch_of_one_is_only_moved(images, generator):
    assert distort(images[:1], Distortion(), generator).shape == (1, 1, 28, 28)


@pytest.mark.parametrize("bounds", [{"degraded": np.float32(0.5)}, {"rotation": np.int64(3)}])
def test_numpys_numbers_are_numbers(bounds, images, generator):
    assert distort(images, Distortion(**bounds), generator).isfinite().all()


@pytest.mark.parametrize(
    "bounds",
    [
        *({name: 1.5} for name in ("degraded", "blur", "spots")),
        *({"rotation": value} for value in (-1, float("nan"), float("inf"))),
        *({"cover": value} for value in ("large", None, True)),
    ],
)
def test_an_impossible_bound_is_refused_by_name(bounds):
    ((name, value),) = bounds.items()
    with pytest.raises((TypeError, ValueError), match=f"{name} must be .*{value!r}"):
        Distortion(**bounds)
