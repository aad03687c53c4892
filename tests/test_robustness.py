import math

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from mnist_helpers import MNIST, DigitClassifier, Split, robustness
from mnist_helpers.model import to_float
from mnist_helpers.robustness import DAMAGES, damage, main, measure_robustness

HARMLESS = {"scale": 1, "contrast": 1}


@pytest.fixture
def images(few):
    return to_float(few.images[:40])


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_begins_with_none(name, images):
    strength = HARMLESS.get(name, 0)
    assert strength in DAMAGES[name][1]
    assert torch.allclose(damage(name, strength, images), images, atol=1e-4)


@pytest.mark.parametrize("name", DAMAGES)
def test_every_damage_is_repeatable_and_keeps_shape_and_range(name, images):
    for strength in DAMAGES[name][1]:
        first, second = (damage(name, strength, images) for _ in range(2))
        assert torch.equal(first, second)
        assert first.shape == images.shape and first.min() >= 0 and first.max() <= 1


def test_a_rotation_is_scipys_in_one_direction_or_the_other(images):
    for turned, image in zip(damage("rotation", 30, images), images, strict=True):
        both = [
            ndimage.rotate(image[0].numpy(), degrees, reshape=False, order=1)
            for degrees in (30, -30)
        ]
        assert min(np.abs(turned[0].numpy() - one).max() for one in both) < 0.01


def test_a_shift_moves_the_centre_of_ink_by_its_length(data):
    image = torch.zeros(50, 1, 28, 28)
    image[:, :, 13:15, 13:15] = 1
    for moved in damage("shift", 4, image):
        row, column = ndimage.center_of_mass(moved[0].numpy())
        assert math.hypot(row - 13.5, column - 13.5) == pytest.approx(4, abs=0.01)


def test_blur_is_scipys(images):
    expected = ndimage.gaussian_filter(images[:, 0].numpy(), (0, 1.5, 1.5), mode="mirror", radius=6)
    assert np.allclose(damage("blur", 1.5, images)[:, 0], expected, atol=1e-4)


def test_noise_has_its_deviation():
    noisy = damage("noise", 0.1, torch.full((20, 1, 28, 28), 0.5))
    assert noisy.std().item() == pytest.approx(0.1, rel=0.05)


def test_salt_and_pepper_hit_their_share():
    spotted = damage("salt and pepper", 0.2, torch.full((50, 1, 28, 28), 0.5))
    assert (spotted != 0.5).float().mean().item() == pytest.approx(0.2, abs=0.01)
    assert set(spotted.unique().tolist()) == {0.0, 0.5, 1.0}


def test_the_square_has_its_side():
    covered = damage("square", 6, torch.zeros(50, 1, 28, 28))
    assert (covered.sum(dim=(1, 2, 3)) == 36).all()


def test_strokes_get_thinner_and_thicker(images):
    ink = [damage("stroke width", pixels, images).sum().item() for pixels in (-2, -1, 0, 1, 2)]
    assert ink == sorted(ink) and ink[0] < 0.7 * ink[2] and ink[4] > 1.3 * ink[2]


def test_a_row_is_the_accuracy_on_the_damaged_images(few, monkeypatch):
    torch.manual_seed(0)
    model = DigitClassifier(channels=(4, 4))
    inverted = Split(255 - few.images, few.labels)
    expected = (model.predict_logits(inverted.images).argmax(1) == few.labels).double().mean()
    rows = {(row["damage"], row["strength"]): row for row in measure_robustness(model, few)}
    assert rows["inverted", 1]["accuracy"] == pytest.approx(100 * expected.item())
    assert len(rows) == sum(len(strengths) for _, strengths, _ in DAMAGES.values())


def test_the_command_writes_both_variants(few, tmp_path, monkeypatch):
    split = Split(few.images[:20], few.labels[:20])
    little = MNIST(split, split, split)
    monkeypatch.setattr(robustness, "load_mnist", lambda root: little)
    monkeypatch.setattr(robustness, "train_variant", lambda *trial: (DigitClassifier(), 0.0))
    main(["--output", str(tmp_path / "new" / "robustness.csv")])
    table = pd.read_csv(tmp_path / "new" / "robustness.csv")
    each = sum(len(strengths) for _, strengths, _ in DAMAGES.values())
    assert table.groupby("variant").size().to_dict() == {"final": each, "tutorials": each}
    assert list(table["damage"].unique()) == list(DAMAGES)
