"""network.js in Chromium gives the numbers that PyTorch gives with the same weights."""

import json
import math
import re

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from mnist_helpers import pretrained
from mnist_helpers.detector import _load_detector
from mnist_helpers.page import HERE, describe
from research.recipes import LADDER

from ..conftest import ROOT, draw_digits

RUN = """([description, images]) => {
  const network = loadNetwork(description);
  return images.map((image) => {
    const values = network.run(Float32Array.from(image));
    values.forEach(({ shape, data }, i) => {
      const expected = network.nodes[i].shape;
      if (`${shape}` !== `${expected}` || data.length !== product(shape))
        throw Error(`${network.nodes[i].op}: [${shape}] instead of [${expected}]`);
    });
    return [...values[network.output].data];
  });
}"""


@pytest.fixture(scope="module")
def run(chromium):
    """Return a function that runs a description in the browser: images in, logits [N, 10] out."""
    page = chromium.new_page()
    page.add_script_tag(content=(HERE / "network.js").read_text(encoding="utf-8"))
    yield lambda described, images: torch.tensor(
        page.evaluate(RUN, [described, images.flatten(1).tolist()])
    )
    page.close()


def in_half_precision(model: nn.Module) -> nn.Module:
    """Round the weights as the page does; let the averages of batch normalisation differ."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.running_mean.normal_()
                layer.running_var.uniform_(0.5, 2)
        for value in [*model.parameters(), *model.buffers()]:
            if value.is_floating_point():
                value.copy_(value.half())
    return model.eval()


@torch.no_grad()
def assert_same(run, model, images: torch.Tensor, atol=None, described=None) -> None:
    logits = torch.cat([model(image.clone()[None]) for image in images]).float()
    atol = atol or 1e-4 * logits.abs().max().item()
    torch.testing.assert_close(run(described or describe(model), images), logits, rtol=0, atol=atol)


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    return draw_digits(20).tensors[0] / 255


@pytest.mark.parametrize("load", [pretrained, _load_detector])
def test_the_packages_networks(run, digits, load):
    assert_same(run, load(), digits, atol=1e-3)


def test_the_page_in_docs_answers_as_the_package_does(run, digits):
    text = (ROOT / "docs" / "digits.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    described = json.loads(data)["networks"]["classifier"]
    assert_same(run, pretrained(), digits, atol=1e-3, described=described)


@pytest.mark.parametrize("name", LADDER)
def test_the_ladders_networks(run, digits, name):
    torch.manual_seed(0)
    model = LADDER[name].network()
    if name == "nearest mean":
        model.fit(draw_digits(50))
    assert_same(run, in_half_precision(model), digits[:3])


def resnet18() -> nn.Module:
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1 = nn.Conv2d(1, 64, kernel_size=7, stride=2, padding=3, bias=False)
    return model


class Attention(nn.Module):
    """Attention over the image's rows."""

    def __init__(self, weights: bool):
        super().__init__()
        self.weights = weights
        self.embed, self.classify = nn.Linear(28, 32), nn.Linear(32, 10)
        self.norm = nn.LayerNorm(32)
        self.position = nn.Parameter(torch.randn(28, 32))
        self.attend = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, images):
        rows = self.norm(self.embed(images.squeeze(1)) + self.position)
        rows = rows + self.attend(rows, rows, rows, need_weights=self.weights)[0]
        return self.classify(rows.mean(dim=1))


class InPlace(nn.Module):
    """The network of many tutorials, written with operations that change their input."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 10, 5), nn.Conv2d(10, 20, 5)
        self.fc1, self.fc2 = nn.Linear(320, 50), nn.Linear(50, 10)

    def forward(self, x):
        x -= 0.1307
        x = F.relu(F.max_pool2d(self.conv1(x / 0.3081), 2), inplace=True)
        x = F.relu_(F.max_pool2d(F.dropout2d(self.conv2(x), training=self.training), 2))
        x = F.relu(self.fc1(x.view(-1, 320)))
        return F.log_softmax(self.fc2(F.dropout(x, training=self.training)), dim=1)


NETWORKS = {
    "resnet18": resnet18,
    "attention": lambda: Attention(weights=False),
    "attention with weights": lambda: Attention(weights=True),
    "in place": InPlace,
    "float64": lambda: pretrained().double(),
    "channels last": lambda: pretrained().to(memory_format=torch.channels_last),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_other_networks(run, digits, name):
    torch.manual_seed(0)
    model = in_half_precision(NETWORKS[name]())
    assert_same(run, model, digits[:3].to(next(model.parameters()).dtype))


def test_a_network_in_bfloat16_is_computed_more_precisely(run, digits):
    model = pretrained().bfloat16()
    answers = run(describe(model), digits)
    torch.testing.assert_close(answers, run(describe(model.float()), digits), rtol=0, atol=1e-4)


def test_a_compiled_network_is_the_one_that_was_compiled():
    assert describe(torch.compile(pretrained())) == describe(pretrained())


class Operation(nn.Module):
    """An operation on a tensor of some shape, which the image's first pixels make; all that it
    returns is in the logits, each time with another weight."""

    def __init__(self, function, shape):
        super().__init__()
        self.function, self.shape = function, shape
        returned = function(torch.zeros(shape)).numel()
        self.weights = nn.Parameter(torch.randn(returned, 10))

    def forward(self, images):
        part = images.flatten()[: math.prod(self.shape)].reshape(self.shape)
        return (self.function(part).reshape(1, -1) @ self.weights).reshape(1, 10)


def assert_same_operation(run, function, shape) -> None:
    model = in_half_precision(Operation(function, shape))
    assert_same(run, model, torch.randn(2, 1, 28, 28))


def draw(*bounds) -> list[int]:
    """Return whole numbers, each within its bounds, both included."""
    return [int(torch.randint(low, high + 1, ())) for low, high in bounds]


@pytest.mark.parametrize("seed", range(8))
def test_convolutions(run, seed):
    torch.manual_seed(seed)
    groups, inputs, outputs, height, width = draw((1, 3), (1, 2), (1, 3), (5, 9), (5, 9))
    layer = nn.Conv2d(
        groups * inputs,
        groups * outputs,
        kernel_size=draw((1, 3), (1, 3)),
        stride=draw((1, 3), (1, 3)),
        padding=draw((0, 3), (0, 3)),
        dilation=draw((1, 2), (1, 2)),
        groups=groups,
        bias=seed % 2 == 0,
    )
    assert_same_operation(run, in_half_precision(layer), (1, groups * inputs, height, width))


@pytest.mark.parametrize("seed", range(8))
def test_poolings(run, seed):
    torch.manual_seed(seed)
    channels, height, width, *kernel = draw((1, 3), (6, 10), (6, 10), (2, 4), (2, 4))
    options = {
        "stride": draw((1, 4), (1, 4)),
        "padding": draw((0, kernel[0] // 2), (0, kernel[1] // 2)),
        "ceil_mode": seed % 2 == 1,
    }
    shape = (1, channels, height, width)
    largest = nn.MaxPool2d(kernel, dilation=draw((1, 2), (1, 2)), **options)
    mean = nn.AvgPool2d(kernel, count_include_pad=seed % 4 < 2, **options)
    assert_same_operation(run, largest, shape)
    assert_same_operation(run, mean, shape)


WEIGHT = torch.linspace(-1, 1, 6).half().float()
ACTIVATIONS = [nn.GELU(), nn.GELU("tanh"), nn.SiLU(), nn.Mish(), nn.ELU(0.7), nn.Hardswish()]
ACTIVATIONS += [nn.LeakyReLU(0.2), nn.Softplus(), nn.Sigmoid(), nn.Tanh(), nn.ReLU6()]
OPERATIONS = {str(each): (each, (1, 300)) for each in ACTIVATIONS} | {
    "padded by a word": (nn.Conv2d(2, 3, 4, padding="same", dilation=2), (1, 2, 9, 8)),
    "in 1 dimension": (nn.Conv1d(2, 3, 4, padding="same", dilation=2), (1, 2, 9)),
    "not padded": (nn.Conv2d(2, 3, 4, padding="valid"), (1, 2, 9, 8)),
    "divided by 3": (lambda x: F.avg_pool2d(x, 2, divisor_override=3), (1, 2, 6, 6)),
    "pooling in 1 dimension": (lambda x: F.avg_pool1d(F.max_pool1d(x, 2), 3), (1, 2, 30)),
    "adaptive pooling": (nn.AdaptiveAvgPool2d((3, 5)), (1, 2, 7, 11)),
    "adaptive pooling to one pixel": (nn.AdaptiveAvgPool2d(1), (1, 3, 5, 4)),
    "adaptive pooling in 1 dimension": (nn.AdaptiveAvgPool1d(3), (1, 2, 7)),
    "softmax": (lambda x: x.softmax(dim=1), (2, 5, 7)),
    "softmax of large numbers": (lambda x: (500 * x).softmax(dim=-1), (3, 50)),
    "log softmax": (lambda x: x.log_softmax(dim=-2), (2, 5, 7)),
    "layer normalisation": (lambda x: F.layer_norm(x, (6,), WEIGHT, WEIGHT), (3, 5, 6)),
    "layer normalisation of images": (lambda x: F.layer_norm(x, (3, 4, 6)), (1, 3, 4, 6)),
    "group normalisation": (lambda x: F.group_norm(x, 3, WEIGHT, WEIGHT), (1, 6, 4, 3)),
    "root mean square normalisation": (lambda x: F.rms_norm(x, (6,), WEIGHT), (3, 5, 6)),
    "unit length": (lambda x: F.normalize(x, dim=1), (3, 20)),
    "batch normalisation": (
        lambda x: F.batch_norm(x, WEIGHT, WEIGHT + 1.5, WEIGHT, WEIGHT), (1, 6, 3, 5)
    ),
    "batch normalisation without weights": (
        lambda x: F.batch_norm(x, WEIGHT, WEIGHT + 1.5), (1, 6)
    ),
    "cat": (lambda x: torch.cat([x, 2 * x, x[:, :1]], dim=1), (2, 3, 4)),
    "stack": (lambda x: torch.stack([x, -x], dim=-1), (2, 3, 4)),
    "parts": (lambda x: x.chunk(3, dim=1)[1] - x.split([1, 2, 4], dim=1)[1][:, :1], (2, 7)),
    "slices": (lambda x: x[:, 1:-1:2, ..., -3:], (2, 8, 3, 5)),
    "one of many": (lambda x: x[:, -2] + x[..., 1], (2, 4, 4)),
    "permuted": (lambda x: x.permute(2, 0, 1).flatten(1).t().unflatten(0, (3, 2)), (2, 3, 4)),
    "transposed": (lambda x: x.transpose(-1, 0).contiguous().view(4, -1), (2, 3, 4)),
    "squeezed": (lambda x: x.unsqueeze(0).squeeze().unsqueeze(-1).squeeze(1), (2, 1, 3)),
    "repeated": (lambda x: x.expand(2, 3, 4) + x.repeat(2, 3, 1), (1, 4)),
    "padded": (lambda x: F.pad(x, (1, 2, 3, -1), value=0.5), (2, 4, 5)),
    "broadcast": (lambda x: x[:, :1] * x - x.mean(dim=0) / (2 + x.abs()), (4, 5)),
    "numbers first": (lambda x: 2 - x + 3 / (x**2 + 1) + 2**x, (4, 5)),
    "rounded quotients": (lambda x: torch.div(x, 0.3, rounding_mode="floor"), (4, 5)),
    "a fixed multiple added": (lambda x: torch.add(x, x.square(), alpha=-0.5), (4, 5)),
    "where": (lambda x: torch.where(x > 0.2, x, 0.1 * x).masked_fill(x < -1, -9), (4, 5)),
    "masked": (lambda x: x.masked_fill(x < 0, -math.inf).softmax(dim=1), (3, 9)),
    "black and white": (lambda x: (x >= 0.5).float() + (x <= -0.5) + (x == 0), (4, 5)),
    "clamped": (lambda x: x.clamp(-0.5, 0.7) + x.clamp(min=0.1), (4, 5)),
    "scaled from 0 to 1": (lambda x: (x - x.min()) / (x.max() - x.min()), (4, 5)),
    "largest along a dimension": (lambda x: x.max(dim=1).values + x.amin(dim=(1,)), (4, 5)),
    "the larger of two": (lambda x: torch.max(x, -x) + torch.min(x, x * x), (4, 5)),
    "infinite": (lambda x: torch.minimum(1e6 * x, torch.tensor(math.inf)), (4, 5)),
    "deviation": (lambda x: (x - x.mean()) / (x.std() + x.var(dim=1, keepdim=True)), (4, 5)),
    "means": (lambda x: x.mean(dim=(0, -1)) + x.sum(dim=(0, 2)), (2, 3, 4)),
    "matrices": (lambda x: x @ x.transpose(1, 2) @ x[0], (2, 3, 4)),
    "a matrix and a vector": (lambda x: x @ x[0] + x[:, 0] @ x[:, :1], (4, 4)),
    "einsum": (lambda x: torch.einsum("bij,bkj->ik", x, x), (2, 3, 4)),
    "exponentials": (lambda x: x.exp() + x.abs().log1p() + x.abs().add(1).log().rsqrt(), (4, 5)),
    "from nothing": (lambda x: x @ torch.eye(5).roll(1, 0) + torch.arange(5) ** 2, (4, 5)),
}  # fmt: skip


@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(run, name):
    torch.manual_seed(0)
    assert_same_operation(run, *OPERATIONS[name])
