"""What more than one cell of MNISTModelTraining.ipynb, or a test, needs."""

from .augmentation import Distortion, distort
from .data import MNIST, Split, load_mnist
from .display import show_progress, show_source
from .download import DataError, download_mnist
from .evaluation import Evaluation, evaluate
from .model import DigitClassifier, layer_table
from .runtime import describe_environment, seed_everything, select_device
from .training import (
    EpochResult,
    Progress,
    TrainingConfig,
    TrainingDiverged,
    train,
    training_step,
)

__all__ = [
    "MNIST",
    "DataError",
    "DigitClassifier",
    "Distortion",
    "EpochResult",
    "Evaluation",
    "Progress",
    "Split",
    "TrainingConfig",
    "TrainingDiverged",
    "describe_environment",
    "distort",
    "download_mnist",
    "evaluate",
    "layer_table",
    "load_mnist",
    "seed_everything",
    "select_device",
    "show_progress",
    "show_source",
    "train",
    "training_step",
]
