import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mnist_helpers import fourier


def random(*shape, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, generator=generator, dtype=dtype).requires_grad_()


def outputs_and_gradients(function, images, layer):
    outputs = function(images)
    weights = torch.linspace(-1, 1, outputs.numel(), dtype=outputs.dtype).view_as(outputs)
    return outputs, *torch.autograd.grad((outputs * weights).sum(), (images, *layer.parameters()))


def directly(layer):
    return lambda images: F.conv2d(images, layer.weight, layer.bias)


@pytest.mark.parametrize("size, kernel_size", [(12, 5), (8, 3), (10, 10), (6, 1), (2, 2)])
def test_it_is_the_direct_convolution_in_values_and_gradients(size, kernel_size):
    layer = fourier.Conv2d(3, 4, kernel_size).double()
    images = random(5, 3, size, size)
    for ours, expected in zip(
        outputs_and_gradients(layer, images, layer),
        outputs_and_gradients(directly(layer), images, layer),
        strict=True,
    ):
        torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-11)


def test_it_rounds_no_worse_than_the_direct_convolution():
    layer = fourier.Conv2d(32, 64, 5)
    images = random(96, 32, 12, 12, dtype=torch.float32)
    ours = outputs_and_gradients(layer, images, layer)
    direct = outputs_and_gradients(directly(layer), images, layer)
    layer, images = layer.double(), images.detach().double().requires_grad_()
    exact = outputs_and_gradients(directly(layer), images, layer)
    for name, a, b, c in zip(["outputs", "images", "weight"], ours, direct, exact, strict=False):
        assert (a - c).abs().max() <= 1.5 * (b - c).abs().max(), name


@pytest.mark.parametrize("size", [2, 6, 12])
def test_a_pair_of_the_matrices_is_a_complex_number_of_numpys_transform(size):
    rows, columns, _, _ = fourier.fourier_matrices(size, 1)
    image = random(size, size).detach().numpy()
    expected = np.fft.fft2(image) / size
    pairs = (columns @ (rows @ image).reshape(size // 2, 2 * size, 1)).reshape(-1, size, 2)
    between = pairs[1:, :, 0] + 1j * pairs[1:, :, 1]
    np.testing.assert_allclose(between, np.sqrt(2) * expected[1 : size // 2], atol=1e-12)
    for member, frequency in enumerate([0, size // 2]):  # both of them real, hence symmetric
        ours = pairs[0, member * size // 2 : (member + 1) * size // 2]
        ends = expected[frequency, [0, size // 2]].real
        np.testing.assert_allclose(ours[0], ends, atol=1e-12)
        half = np.sqrt(2) * expected[frequency, 1 : size // 2]
        np.testing.assert_allclose(ours[1:, 0] + 1j * ours[1:, 1], half, atol=1e-12)


@pytest.mark.parametrize("shape", [(7, 7), (6, 8)])
def test_other_shapes_are_convolved_directly(shape):
    layer, images = fourier.Conv2d(3, 4, 3), random(2, 3, *shape, dtype=torch.float32)
    assert torch.equal(layer(images), directly(layer)(images))


def test_evaluation_is_direct():
    layer, images = fourier.Conv2d(3, 4, 3).eval(), random(2, 3, 6, 6, dtype=torch.float32)
    assert torch.equal(layer(images), directly(layer)(images))


def test_its_weights_and_its_name_are_those_of_pytorchs_layer():
    torch.manual_seed(0)
    ours = fourier.Conv2d(3, 4, 5)
    torch.manual_seed(0)
    pytorchs = torch.nn.Conv2d(3, 4, 5)
    assert repr(ours) == repr(pytorchs)
    expected = pytorchs.state_dict()
    assert ours.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in ours.state_dict().items())


def test_it_can_be_trained_after_it_was_used_in_inference_mode():
    fourier.fourier_matrices.cache_clear()
    layer, images = fourier.Conv2d(3, 4, 3), random(2, 3, 6, 6, dtype=torch.float32)
    with torch.inference_mode():
        layer(images.detach())
    layer(images).sum().backward()
    assert layer.weight.grad is not None
