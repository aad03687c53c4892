"""What more than one cell of MNISTModelTraining.ipynb, or a test, needs."""

from .archive import ArchiveError
from .augmentation import Distortion, distort
from .curriculum import choose_images
from .data import MNIST, Split, load_mnist
from .display import show_progress, show_source
from .download import DataError, download_mnist
from .evaluation import Evaluation, evaluate
from .model import DigitClassifier, layer_table, load_model, save_model
from .progress import Progress
from .runtime import describe_environment, seed_everything, select_device
from .training import (
    EpochResult,
    TrainingConfig,
    TrainingDiverged,
    train,
    train_epoch,
    training_step,
)

__all__ = [
    "MNIST",
    "ArchiveError",
    "DataError",
    "DigitClassifier",
    "Distortion",
    "EpochResult",
    "Evaluation",
    "Progress",
    "Split",
    "TrainingConfig",
    "TrainingDiverged",
    "choose_images",
    "describe_environment",
    "distort",
    "download_mnist",
    "evaluate",
    "layer_table",
    "load_mnist",
    "load_model",
    "save_model",
    "seed_everything",
    "select_device",
    "show_progress",
    "show_source",
    "train",
    "train_epoch",
    "training_step",
]
