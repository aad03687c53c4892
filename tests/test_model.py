"""The lesson's network and its normalisation."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from mnist_helpers import LocalNormalise

from .conftest import draw_digits


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return draw_digits(30).tensors[0] / 255


@pytest.mark.parametrize("size", [(28, 28), (20, 37)])
def test_local_normalisation_is_what_scipy_computes(size, images):
    images = images[:3, :, : size[0]]
    images = F.pad(images, (0, size[1] - 28))
    found = LocalNormalise()(images)
    # The mean of the part of the 11 x 11 square that is inside the image.
    inside = ndimage.uniform_filter(np.ones(size), 11, mode="constant")
    for image, normalised in zip(images[:, 0].double().numpy(), found[:, 0], strict=True):
        detail = image - ndimage.uniform_filter(image, 11, mode="constant") / inside
        expected = detail / (np.sqrt(np.mean(detail**2)) + 0.02)
        assert np.allclose(normalised, expected, atol=1e-4)


@pytest.mark.parametrize(("paper", "ink"), [(0.5, 1.0), (0.0, 0.2), (torch.arange(28) / 55, 0.8)])
def test_paper_and_ink_hardly_change_a_normalised_image(images, paper, ink):
    normalise = LocalNormalise()
    found, expected = normalise(paper + (ink - paper) * images), normalise(images)
    assert F.cosine_similarity(found.flatten(1), expected.flatten(1)).min() > 0.95
    contrast = found.square().mean(dim=(1, 2, 3)).sqrt()
    assert contrast.min() > 0.6 and contrast.max() < 1


def test_an_empty_image_stays_empty():
    assert LocalNormalise()(torch.full((1, 1, 28, 28), 0.7)).abs().max() < 1e-4


def test_the_gradient_of_an_empty_image_is_finite():
    image = torch.zeros(1, 1, 28, 28, requires_grad=True)
    LocalNormalise()(image).square().sum().backward()
    assert image.grad.isfinite().all()
