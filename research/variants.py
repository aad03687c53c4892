"""The trainings that are compared: the final recipe, and what differs from it."""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from unittest import mock

import torch
from torch import nn

from mnist_helpers import (
    MNIST,
    Batches,
    DigitClassifier,
    Distortion,
    Split,
    TrainingConfig,
    augmentation,
    evaluate,
    runtime,
    seed_everything,
    to_device,
    train,
    train_epoch,
)
from mnist_helpers.fingerprint import fingerprint

from .baselines import (
    FixedStandardisation,
    SoftmaxFirst,
    TutorialClassifier,
    VariedClassifier,
)
from .tables import describe_machine


@dataclass(frozen=True)
class Variant:
    """What differs from the final recipe, which learns from all 60,000 images that there are."""

    images: int = 60_000
    config: dict = field(default_factory=dict)  # of TrainingConfig
    network: type[nn.Module] = DigitClassifier
    arguments: dict = field(default_factory=dict)  # of the network
    float32: bool = False  # also on a processor that is faster with bfloat16
    seeds: int = 5

    def make_model(self, seed: int) -> nn.Module:
        seed_everything(seed)
        return to_device(self.network(**self.arguments), torch.device("cpu"))

    def recipe(self) -> str:
        """Return a digest of the code and the values that the result depends on. Comments, figures
        and the version of PyTorch are none of them, so that they orphan no row."""
        layers = {type(layer): None for layer in self.make_model(0).modules()}
        classes = {parent: None for layer in layers for parent in layer.__mro__}
        own = [
            each for each in classes if each.__module__.startswith(("mnist_helpers", "research"))
        ]
        code = [*own, Batches, augmentation, train, train_epoch]
        values = [self.arguments, TrainingConfig(**self.config), self.images]
        return fingerprint(code, values, *(["float32"] if self.float32 else []))[:8]

    def is_the_same_as_final(self) -> bool:
        """Return whether this processor computes in float32 anyhow."""
        return self.float32 and not runtime.has_bfloat16()

    def train(self, seed: int, data: MNIST) -> tuple[nn.Module, list[dict]]:
        """Return the trained model and its history."""
        images = torch.cat([data.train.images, data.validation.images])[: self.images]
        labels = torch.cat([data.train.labels, data.validation.labels])[: self.images]
        some = MNIST(Split(images, labels), data.validation, data.test)
        model = self.make_model(seed)
        no_bfloat16 = mock.patch.object(runtime, "has_bfloat16", lambda: False)
        with no_bfloat16 if self.float32 else nullcontext():
            history = train(model, some, TrainingConfig(**self.config, seed=seed))
        return model, history


CONSTANT = {"one_cycle": False, "learning_rate": 1e-3}
AS_TUTORIALS = CONSTANT | {"distortion": None, "hard_images": 0.0}
VARIANTS = {
    "final": Variant(seeds=10),
    "55,000 images": Variant(images=55_000, seeds=10),
    "tutorials": Variant(config=AS_TUTORIALS, network=TutorialClassifier),
    "every image once": Variant(config={"hard_images": 0.0}),
    "no distortion": Variant(config={"distortion": None}),
    "moved, not degraded": Variant(config={"distortion": Distortion(degraded=0.0)}),
    "constant learning rate": Variant(config=CONSTANT),
    "fixed standardisation": Variant(network=FixedStandardisation),
    "no dropout": Variant(network=VariedClassifier, arguments={"dropout": (0.0, 0.0)}),
    "no batch normalisation": Variant(
        network=VariedClassifier, arguments={"batch_normalisation": False}
    ),
    "softmax before the loss": Variant(network=SoftmaxFirst),
    "half the channels": Variant(network=VariedClassifier, arguments={"channels": (16, 32)}),
    "double the channels": Variant(network=VariedClassifier, arguments={"channels": (64, 128)}),
    "batch of 384": Variant(config={"batch_size": 384}),
    "1 epoch": Variant(config={"epochs": 1}),
    "3 epochs": Variant(config={"epochs": 3}),
    "1,000 images": Variant(images=1_000),
    "6,000 images": Variant(images=6_000),
    "20,000 images": Variant(images=20_000),
    "float32": Variant(float32=True),
}

COLUMNS = [
    *("variant", "recipe", "seed", "validation_accuracy", "validation_losses", "test_accuracy"),
    *("test_loss", "calibration_error", "test_errors"),
]


def run_trial(name: str, variant: Variant, seed: int, load: Callable[[], MNIST]) -> dict:
    """Train a variant with one seed on one thread, and return its row: COLUMNS and the machine.

    Accuracies are in percent, losses in nats: the validation loss after each epoch, unless the
    network has learned from the validation images; the test errors as "index:prediction".
    """
    torch.set_num_threads(1)
    data = load()
    model, history = variant.train(seed, data)
    evaluation = evaluate(model, data.test)
    errors = (~evaluation.correct).nonzero()[0]
    held_out = variant.images <= len(data.train)
    accuracy = 100 * history[-1]["validation_accuracy"] if held_out else math.nan
    losses = [f"{epoch['validation_loss']:.5f}" for epoch in history if held_out]
    return (
        describe_machine()
        | {
            "variant": name,
            "recipe": variant.recipe(),
            "seed": seed,
            "validation_accuracy": round(accuracy, 2),
            "validation_losses": " ".join(losses),
            "test_accuracy": round(100 * evaluation.accuracy, 2),
            "test_loss": evaluation.loss,
            "calibration_error": 100 * evaluation.calibration_error,
            "test_errors": " ".join(f"{index}:{evaluation.predictions[index]}" for index in errors),
        }
        | ({"precision": "float32"} if variant.float32 else {})
    )
