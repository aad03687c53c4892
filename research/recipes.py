"""The trainings that are compared: the lesson's ladder, and its last rung with one change each."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import UnionType

import torch
from torch import nn
from torch.utils.data import TensorDataset
from torchvision import transforms

from mnist_helpers import MNIST, DigitClassifier, augment, evaluate, has_bfloat16, load, train

BATCH_SIZE = 96
NORMALISE = transforms.Normalize(0.1307, 0.3081)  # the training images' mean and deviation


class NearestMean(nn.Sequential):
    """The digit whose mean image is nearest, as the linear model that it is: of |x - m|^2 / 2, x m
    and |m|^2 / 2 alone depend on the mean m."""

    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))

    @torch.no_grad()
    def fit(self, training: TensorDataset) -> "NearestMean":
        images, labels = training.tensors
        pixels = images.flatten(1) / 255
        means = torch.stack([pixels[labels == digit].mean(dim=0) for digit in range(10)])
        self[1].weight.copy_(means)
        self[1].bias.copy_(-means.square().sum(dim=1) / 2)
        return self


def linear() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def hidden_layer() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def convolutional(dropout: bool = False) -> nn.Module:
    """The network of most tutorials. Its dropout is that of the last rung."""
    return nn.Sequential(
        NORMALISE,
        nn.Conv2d(1, 32, kernel_size=5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(32, 64, kernel_size=5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Dropout2d(0.1 * dropout), nn.Flatten(),
        nn.Linear(64 * 4 * 4, 128), nn.ReLU(), nn.Dropout(0.2 * dropout),
        nn.Linear(128, 10),
    )  # fmt: skip


def without(kind: type | UnionType) -> nn.Module:
    """The lesson's network without its layers of this kind."""
    model = DigitClassifier()
    model.layers = nn.Sequential(*(each for each in model.layers if not isinstance(each, kind)))
    return model


def channels(first: int) -> nn.Module:
    """The lesson's network with so many channels after its first convolution, and twice as many
    after its second."""
    model = DigitClassifier()
    model.layers[1], model.layers[3] = nn.Conv2d(1, first, 5), nn.BatchNorm2d(first)
    model.layers[5], model.layers[7] = nn.Conv2d(first, 2 * first, 5), nn.BatchNorm2d(2 * first)
    model.layers[11] = nn.Linear(2 * first * 4 * 4, 128)
    return model


def second_softmax() -> nn.Module:
    """The lesson's network, and the mistake to put a softmax before the loss, which has its own."""
    model = DigitClassifier()
    model.layers.append(nn.Softmax(dim=1))
    return model


@dataclass(frozen=True)
class Recipe:
    """A training. Give it a new `version` when anything changes that its result depends on: the
    rows of another version are never read."""

    network: Callable[[], nn.Module] = DigitClassifier
    images: int = 55_000  # the first so many of the 60,000 training images,
    held_out: int = 5_000  # and the last so many for validation
    epochs: int = 10
    constant_rate: float | None = None  # of learning; None is one cycle up to 5e-3
    augmentation: Callable | None = augment
    bfloat16: bool = True  # where the processor has it
    seeds: int = 5
    version: str = "2026-11"

    def split(self, data: MNIST) -> MNIST:
        """Return the data sets of this recipe, out of the lesson's. Raises ValueError where
        training and validation images overlap."""
        parts = zip(data.training.tensors, data.validation.tensors, strict=True)
        images, labels = map(torch.cat, parts)
        if self.images + self.held_out > len(images):
            raise ValueError(
                f"{self.images:,} training and {self.held_out:,} validation images are more than "
                f"{len(images):,}: some would be in both. Give held_out=0, or fewer images."
            )
        training = TensorDataset(images[: self.images], labels[: self.images])
        validation = TensorDataset(images[-self.held_out :], labels[-self.held_out :])
        return MNIST(training, validation if self.held_out else None, data.test)

    def train(self, seed: int, data: MNIST) -> tuple[nn.Module, list[dict]]:
        """Return the trained model, in evaluation mode, and its history; `data` is the lesson's."""
        data = self.split(data)
        torch.manual_seed(seed)
        model = self.network()
        if isinstance(model, NearestMean):
            return model.fit(data.training), []
        model = model.to(memory_format=torch.channels_last)
        optimizer = None  # so that train makes Adam, and one cycle of its rate
        if self.constant_rate:
            optimizer = torch.optim.Adam(model.parameters(), lr=self.constant_rate, fused=True)
        history = train(
            model,
            data,
            epochs=self.epochs,
            batch_size=BATCH_SIZE,
            optimizer=optimizer,
            augmentation=self.augmentation,
            generator=torch.Generator().manual_seed(seed),  # one order for all recipes
            bfloat16=self.bfloat16 and has_bfloat16(),
            verbose=False,
        )
        return model, history


WITH_FIXED_MEAN = partial(DigitClassifier, NORMALISE)
PLAIN = {"constant_rate": 1e-3, "augmentation": None}
LADDER = {
    "nearest mean": Recipe(NearestMean, seeds=1, version="2026-11-30"),
    "linear": Recipe(linear, bfloat16=False, **PLAIN),
    "hidden layer": Recipe(hidden_layer, version="2026-11-30", **PLAIN),
    "two convolutions": Recipe(convolutional, **PLAIN),
    "+ dropout": Recipe(partial(convolutional, dropout=True), version="2026-11-30", **PLAIN),
    "+ batch normalisation": Recipe(WITH_FIXED_MEAN, **PLAIN),
    "+ one cycle": Recipe(WITH_FIXED_MEAN, augmentation=None),
    "+ augmentation": Recipe(WITH_FIXED_MEAN),
    "+ local normalisation": Recipe(seeds=10),
}
SMALL = ", 5,000 images"
ON_FEW = {  # the ladder on the images that the lesson's rungs learn from
    f"{name}{SMALL}": replace(recipe, images=5_000, seeds=20) for name, recipe in LADDER.items()
}
ON_FEW["nearest mean" + SMALL] = replace(ON_FEW["nearest mean" + SMALL], seeds=1)
VARIANTS = {  # the last rung with one thing changed
    "without dropout": Recipe(partial(without, nn.Dropout | nn.Dropout2d)),
    "without batch normalisation": Recipe(partial(without, nn.BatchNorm1d | nn.BatchNorm2d)),
    "without augmentation": Recipe(augmentation=None),
    "without the fade": Recipe(augmentation=lambda images, strength: augment(images)),
    "constant learning rate": Recipe(constant_rate=1e-3),
    "half the channels": Recipe(partial(channels, 16)),
    "double the channels": Recipe(partial(channels, 64)),
    "a second softmax": Recipe(second_softmax),
    "float32": Recipe(bfloat16=False),
    "1 epoch": Recipe(epochs=1),
    "3 epochs": Recipe(epochs=3),
    "100 images": Recipe(images=100),
    "1,000 images": Recipe(images=1_000),
    "6,000 images": Recipe(images=6_000),
    "20,000 images": Recipe(images=20_000),
}
RECIPES = LADDER | ON_FEW | VARIANTS
RECIPES |= {
    f"110 epochs{SMALL}": Recipe(images=5_000, epochs=110),  # as many steps as on all 55,000
    "last rung, 60,000 images": Recipe(images=60_000, held_out=0, seeds=10),
    "last rung, 50,000 images": Recipe(images=50_000, held_out=10_000, seeds=6),
}

GREYS = (20, 50, 70)  # how dark the paper is, in percent of ink
COLUMNS = [
    *(f"{split}_{measure}" for split in ("validation", "test") for measure in (
        "accuracy", "loss", *(f"grey_{grey}" for grey in GREYS))),
    "seconds",
]  # fmt: skip


def on_paper(dataset: TensorDataset, grey: float) -> TensorDataset:
    """Return a data set with its images on paper that is `grey`, from 0 (white) to 1 (ink)."""
    images, labels = dataset.tensors
    return TensorDataset((255 * grey + (1 - grey) * images).byte(), labels)


def run_trial(recipe: str, version: str, seed: int, data_root: str) -> dict:
    """Train a recipe from one seed on one thread, and return COLUMNS after its last epoch.

    Losses are in nats, accuracies in percent, those on grey paper, too; seconds are those of the
    training alone.
    """
    torch.set_num_threads(1)
    torch.backends.cudnn.deterministic = True
    everything = load(data_root)
    data = RECIPES[recipe].split(everything)
    start = time.perf_counter()
    model, _ = RECIPES[recipe].train(seed, everything)
    row = {"seconds": f"{time.perf_counter() - start:.0f}"}
    for split in ("validation", "test"):
        if dataset := getattr(data, split):
            found = evaluate(model, dataset)
            row[f"{split}_accuracy"] = f"{100 * found.accuracy:.2f}"
            row[f"{split}_loss"] = f"{found.loss:.5f}"
            for grey in GREYS:
                found = evaluate(model, on_paper(dataset, grey / 100))
                row[f"{split}_grey_{grey}"] = f"{100 * found.accuracy:.2f}"
    return row
