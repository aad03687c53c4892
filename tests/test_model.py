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
        if isinstance(layer, (torch.nn.BatchNorm2d, torch.nn.BatchNorm1d)):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            layer.weight.data.normal_()
            layer.bias.data.normal_()
    return model


@pytest.fixture
def images(few):
    return few.images[:30]


def test_the_forward_is_its_chain_of_functions(model, images):
    w = model.eval().state_dict()
    w = {name.removeprefix("layers."): value for name, value in w.items()}

    def normalise(x, name):
        mean, variance = w[f"{name}.running_mean"], w[f"{name}.running_var"]
        return F.batch_norm(x, mean, variance, w[f"{name}.weight"], w[f"{name}.bias"])

    x = images[:, None] / 255
    around = F.pad(x, (5, 5, 5, 5), mode="reflect")
    x = x - F.avg_pool2d(around, 11, stride=1)
    x = x / (x.square().mean(dim=(1, 2, 3), keepdim=True).sqrt() + 0.02)
    x = x * x.pow(3).mean(dim=(1, 2, 3), keepdim=True).sign()
    x = F.conv2d(x, w["1.weight"], w["1.bias"])
    x = F.relu(normalise(F.max_pool2d(x, 2), "3"))
    x = F.conv2d(x, w["5.weight"], w["5.bias"])
    x = F.relu(normalise(F.max_pool2d(x, 2), "7"))
    x = F.linear(x.reshape(30, -1), w["11.weight"], w["11.bias"])
    expected = F.linear(F.relu(normalise(x, "12")), w["15.weight"], w["15.bias"])
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


@pytest.mark.parametrize("batch_normalisation", [False, True])
def test_the_fast_layers_have_the_loss_and_the_gradients_of_the_plain_ones(
    few, batch_normalisation
):
    """Pooling before ReLU, channels last, against ReLU before pooling in PyTorch's own layout.

    With batch normalisation, which stands after the pooling, ReLU cannot come before it.
    """
    torch.manual_seed(0)
    fast = DigitClassifier(batch_normalisation=batch_normalisation, dropout=(0, 0)).double()
    w = {
        name.removeprefix("layers."): weight.detach().clone().contiguous().requires_grad_()
        for name, weight in fast.named_parameters()
    }

    def normalise(x, number):
        weight, bias = w[f"{number}.weight"], w[f"{number}.bias"]
        return F.batch_norm(x, None, None, weight, bias, training=True)

    def pooled(x, number):
        if not batch_normalisation:
            return F.max_pool2d(F.relu(x), 2)
        return F.relu(normalise(F.max_pool2d(x, 2), number))

    images, labels = to_float(few.images[:96]).double(), few.labels[:96]
    x = fast.layers[0](images)
    x = pooled(F.conv2d(x, w["1.weight"], w["1.bias"]), 3)
    x = pooled(F.conv2d(x, w["5.weight"], w["5.bias"]), 7)
    x = F.linear(x.flatten(1), w["11.weight"], w["11.bias"])
    x = F.relu(normalise(x, 12) if batch_normalisation else x)
    plain_loss = F.cross_entropy(F.linear(x, w["15.weight"], w["15.bias"]), labels)
    plain_loss.backward()

    fast_loss = F.cross_entropy(fast(images), labels)
    fast_loss.backward()
    assert fast.layers[1](images).is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fast_loss, plain_loss, rtol=1e-12, atol=0)
    for name, weight in fast.named_parameters():
        expected = w[name.removeprefix("layers.")].grad
        torch.testing.assert_close(weight.grad, expected, rtol=1e-9, atol=1e-12)


def test_probabilities_are_the_softmax_of_the_logits(model, images):
    probabilities = model.predict_proba(images)
    exponentials = model.predict_logits(images).exp()
    assert probabilities.shape == (30, 10)
    assert torch.allclose(probabilities, exponentials / exponentials.sum(dim=1, keepdim=True))


@pytest.mark.parametrize(
    ("paper", "ink"),
    [(0.5, 1.0), (0.0, 0.2), (torch.linspace(0, 0.5, 28), 0.8), (1.0, 0.0), (0.6, 0.1)],
    ids=["grey", "faint", "shaded", "inverted", "faintly inverted"],
)
def test_paper_and_ink_do_not_matter(model, few, paper, ink):
    digits = to_float(few.images)
    expected = model.layers[0](digits)
    found = model.layers[0](paper + (ink - paper) * digits)
    alike = F.cosine_similarity(found.flatten(1), expected.flatten(1))
    assert alike.min() > 0.95
    strengths = found.square().mean(dim=(1, 2, 3)).sqrt()
    assert strengths.min() > 0.6 and strengths.max() < 1


def test_an_empty_image_stays_empty(model):
    assert model.layers[0](torch.full((1, 1, 28, 28), 0.7)).abs().max() < 1e-4


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
        layer_table(model)
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
    images, labels = to_float(few.images).to("meta"), few.labels.to("meta")
    optimizer = make_optimizer(model, TrainingConfig())
    images = distort(images, Distortion())
    for values in training_step(model, optimizer, images, labels):
        assert values.device.type == "meta" and values.shape == (250,)


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
