import math

import pytest
import torch
import torch.nn.functional as F
from torch._subclasses.fake_tensor import FakeTensorMode

from mnist_helpers import (
    DigitClassifier,
    Distortion,
    TrainingConfig,
    distort,
    layer_table,
    training_step,
)
from mnist_helpers.model import to_float
from mnist_helpers.training import make_optimizer


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = DigitClassifier()
    for layer in model.layers:  # statistics as after some training, not 0 and 1
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.normal_()
            layer.bias.data.normal_()
    return model


@pytest.fixture
def images(few):
    return few.images[:30]


def test_the_forward_is_its_chain_of_functions(model, images):
    w = list(model.eval().state_dict().values())
    x = F.conv2d((images[:, None] / 255 - 0.1307) / 0.3081, w[0], padding=2)
    x = F.batch_norm(F.max_pool2d(x, 2), w[3], w[4], w[1], w[2])
    x = F.conv2d(F.relu(x), w[6])
    x = F.batch_norm(F.max_pool2d(x, 2), w[9], w[10], w[7], w[8])
    x = F.relu(F.linear(F.relu(x).reshape(30, -1), w[12], w[13]))
    expected = F.linear(x, w[14], w[15])
    assert torch.allclose(model.predict_logits(images), expected, atol=1e-5)


def test_pooling_and_relu_commute_in_values_and_gradients():
    def gradients(function):
        x = torch.randn(4, 8, 12, 12, generator=torch.Generator().manual_seed(1))
        x.requires_grad_()
        y = function(x)
        (y * torch.linspace(0, 1, y.numel()).view_as(y)).sum().backward()
        return y, x.grad

    ours = gradients(lambda x: F.relu(F.max_pool2d(x, 2)))
    textbook = gradients(lambda x: F.max_pool2d(F.relu(x), 2))
    assert torch.equal(ours[0], textbook[0]) and torch.equal(ours[1], textbook[1])


def test_probabilities_are_the_softmax_of_the_logits(model, images):
    probabilities = model.predict_proba(images)
    exponentials = model.predict_logits(images).exp()
    assert probabilities.shape == (30, 10)
    assert torch.allclose(probabilities, exponentials / exponentials.sum(dim=1, keepdim=True))


def test_prediction_does_not_depend_on_the_other_images(model, images):
    alone = torch.cat([model.predict_logits(image[None]) for image in images])
    assert torch.allclose(model.predict_logits(images), alone, atol=1e-5)


def test_prediction_takes_more_images_than_fit_in_one_batch(model, data):
    logits = model.predict_logits(data.test.images[:2_500])
    assert torch.allclose(logits[2_400:], model.predict_logits(data.test.images[2_400:2_500]))


def test_prediction_leaves_the_mode_as_it_was(model, images):
    for mode in (True, False):
        model.train(mode)
        model.predict_proba(images)
        assert model.training is mode


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (torch.zeros(3, 28, 28), TypeError),
        (torch.zeros(28, 28, dtype=torch.uint8), ValueError),
        (torch.zeros(3, 32, 32, dtype=torch.uint8), ValueError),
        ("seven", TypeError),
    ],
)
def test_what_are_no_images_is_refused(model, wrong, error):
    with pytest.raises(error, match="images must"):
        model.predict_proba(wrong)


def test_no_images_have_no_probabilities(model, images):
    assert model.predict_proba(images[:0]).shape == (0, 10)


def test_a_second_softmax_keeps_the_loss_above_its_floor():
    label = torch.tensor([3])
    perfect = F.one_hot(label, 10).double()
    floor = F.cross_entropy(perfect, label).item()
    assert floor == pytest.approx(math.log((math.e + 9) / math.e), abs=1e-12)
    assert floor == pytest.approx(1.4612, abs=5e-5)
    logits = 30 * torch.randn(1_000, 10, generator=torch.Generator().manual_seed(0))
    losses = F.cross_entropy(logits.softmax(dim=1), logits.argmax(dim=1), reduction="none")
    assert losses.min() >= floor - 1e-6


def test_the_table_counts_every_parameter(model):
    table = layer_table(model)
    assert table["parameters"].sum() == sum(p.numel() for p in model.parameters())
    assert table["output"].iloc[-1] == "10"


def test_a_training_step_keeps_everything_on_one_device(few):
    """On the meta device, which raises at the first tensor that was left on the CPU."""
    model = DigitClassifier().to("meta")
    config = TrainingConfig()
    images, labels = to_float(few.images).to("meta"), few.labels.to("meta")
    optimizer = make_optimizer(model, config)
    totals = training_step(model, optimizer, images, labels, config.distortion, None)
    assert totals.device.type == "meta" and totals.shape == (2,)


def test_forward_and_loss_run_on_a_pretended_gpu():
    """With fake tensors, which have shapes and devices but no values: there may be no GPU."""
    model = DigitClassifier()
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = {
            name: torch.empty(value.shape, dtype=value.dtype, device="cuda")
            for name, value in model.state_dict().items()
        }
        images = distort(torch.zeros(96, 1, 28, 28, device="cuda"), Distortion())
        labels = torch.zeros(96, dtype=torch.int64, device="cuda")
        loss = F.cross_entropy(torch.func.functional_call(model, weights, images), labels)
        assert loss.device.type == "cuda"
        with pytest.raises(RuntimeError, match="cpu"):  # the check finds what was left behind
            model(images)
