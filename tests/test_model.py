import math
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mnist_helpers import (
    DigitClassifier,
    Distortion,
    LocalNormalise,
    distort,
    layer_table,
    predict_proba,
)
from mnist_helpers.data import to_float
from mnist_helpers.evaluation import predict_logits
from mnist_helpers.model import check_model

from .conftest import perceptron


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = DigitClassifier()
    for layer in model.modules():  # statistics as after some training, not 0 and 1
        if isinstance(layer, (nn.BatchNorm2d, nn.BatchNorm1d)):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.normal_()
            layer.bias.data.normal_()
    return model


@pytest.fixture
def images(digits):
    return digits.images[:30]


def test_the_forward_is_its_chain_of_functions(model, images):
    weights = list(model.state_dict().values())
    first, second, third = weights[0:7], weights[7:14], weights[14:21]

    def normalise(x, weight, bias, mean, variance):
        shape = [1, -1] + [1] * (x.ndim - 2)
        scale = weight / (variance + 1e-5).sqrt()
        return (x - mean.view(shape)) * scale.view(shape) + bias.view(shape)

    x = images[:, None] / 255
    x = x - F.avg_pool2d(F.pad(x, (5, 5, 5, 5), mode="reflect"), 11, stride=1)
    x = x / (x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 0.02)
    for part in (first, second):
        x = F.max_pool2d(F.conv2d(x, *part[:2]), 2)
        x = normalise(x, *part[2:6]).relu()
    x = normalise(x.flatten(1) @ third[0].T + third[1], *third[2:6]).relu()
    expected = x @ weights[21].T + weights[22]
    assert torch.allclose(predict_logits(model, images), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("paper", "ink"),
    [(0.5, 1.0), (0.0, 0.2), (torch.linspace(0, 0.5, 28), 0.8)],
    ids=["grey", "faint", "shaded"],
)
def test_paper_and_ink_do_not_matter(images, paper, ink):
    digits = to_float(images)
    normalise = LocalNormalise()
    found, expected = normalise(paper + (ink - paper) * digits), normalise(digits)
    assert F.cosine_similarity(found.flatten(1), expected.flatten(1)).min() > 0.95
    strengths = found.square().mean(dim=(1, 2, 3)).sqrt()
    assert strengths.min() > 0.6 and strengths.max() < 1


def test_an_empty_image_stays_empty():
    assert LocalNormalise()(torch.full((1, 1, 28, 28), 0.7)).abs().max() < 1e-4


def test_normalisation_is_in_full_precision_where_the_rest_is_not(images):
    normalise = LocalNormalise()
    expected = normalise(to_float(images))
    with torch.autocast("cpu", torch.bfloat16):
        found = normalise(to_float(images))
    assert found.dtype == torch.float32 and torch.equal(found, expected)


def test_a_second_softmax_keeps_the_loss_above_its_floor():
    label = torch.tensor([3])
    floor = F.cross_entropy(F.one_hot(label, 10).double(), label).item()
    assert floor == pytest.approx(math.log((math.e + 9) / math.e), abs=1e-12)
    logits = 30 * torch.randn(1_000, 10, generator=torch.Generator().manual_seed(0))
    losses = F.cross_entropy(logits.softmax(dim=1), logits.argmax(dim=1), reduction="none")
    assert losses.min() >= floor - 1e-6


@pytest.mark.parametrize("outputs", [9, 11])
def test_another_number_of_logits_is_refused_by_name(outputs, images):
    wrong = nn.Sequential(nn.Flatten(), nn.Linear(784, outputs))
    with pytest.raises(ValueError, match=rf"ten logits.*\[2, 10\].*\[2, {outputs}\].*last layer"):
        check_model(wrong)
    with pytest.raises(ValueError, match=rf"ten logits.*\[30, {outputs}\]"):
        predict_proba(wrong, images)


class Pair(nn.Module):
    def forward(self, images):
        return images, images


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="must return a tensor.*tuple"):
        check_model(Pair())
    with pytest.raises(TypeError, match="must be an nn.Module, but it is a function"):
        check_model(F.relu)


def test_probabilities_instead_of_logits_are_warned_of():
    with pytest.warns(UserWarning, match="returns probabilities.*leave it out"):
        check_model(nn.Sequential(perceptron(), nn.Softmax(dim=1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_model(perceptron())


@pytest.mark.parametrize("mode", [True, False])
def test_looking_at_a_network_leaves_its_mode_as_it_was(mode, images):
    model = perceptron().train(mode)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_model(model)
    layer_table(model)
    predict_proba(model, images)
    assert model.training is mode
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_table_counts_every_parameter(model):
    table = layer_table(model)
    assert table["parameters"].sum() == sum(each.numel() for each in model.parameters())
    assert table["output"].iloc[-1] == "10"


def test_the_table_takes_layers_that_learn_their_size_from_the_images():
    table = layer_table(nn.Sequential(nn.Flatten(), nn.LazyLinear(10)))
    assert table["parameters"].tolist()[-1] == 7_850


def step(model, images, labels) -> torch.Tensor:
    """Take a training step as train_epoch does, and return the losses."""
    optimizer = torch.optim.Adam(model.parameters())
    losses = F.cross_entropy(model(distort(images, Distortion())), labels, reduction="none")
    losses.mean().backward()
    optimizer.step()
    return losses


def test_a_training_step_keeps_everything_on_one_device():
    """On the meta device, which raises at the first tensor that was left on the CPU."""
    model = DigitClassifier().to("meta")
    images = torch.zeros(96, 1, 28, 28, device="meta")
    labels = torch.zeros(96, dtype=torch.int64, device="meta")
    losses = step(model, images, labels)
    assert losses.device.type == "meta" and losses.shape == (96,)
    assert all(weight.grad.device.type == "meta" for weight in model.parameters())
    with pytest.raises((RuntimeError, NotImplementedError)):
        step(DigitClassifier(), images, labels)


@pytest.mark.skipif(
    not hasattr(torch._C, "_ensureCUDADeviceGuardSet"),
    reason="This version of PyTorch asks for a driver where it is given fake tensors",
)
def test_forward_and_loss_run_on_a_pretended_gpu():
    """With fake tensors, which have shapes and devices but no values: there may be no GPU."""
    model = DigitClassifier()
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = {
            name: torch.empty(value.shape, dtype=value.dtype, device="cuda")
            for name, value in [*model.named_parameters(), *model.named_buffers()]
        }
        images = distort(torch.zeros(96, 1, 28, 28, device="cuda"), Distortion())
        labels = torch.zeros(96, dtype=torch.int64, device="cuda")
        loss = F.cross_entropy(torch.func.functional_call(model, weights, images), labels)
        assert loss.device.type == "cuda"
        with pytest.raises(RuntimeError, match="cpu"):  # the check finds what was left behind
            model(images)
