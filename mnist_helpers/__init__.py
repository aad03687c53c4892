"""What the notebook MNISTModelTraining.ipynb imports; any PyTorch classifier goes through it."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    raise ImportError("mnist_helpers needs Python 3.11 or newer: choose another kernel.")

# ruff: noqa: E402
from .augmentation import Distortion, distort
from .batches import Batches
from .checkpoint import CheckpointError, load_model, save_model
from .data import MNIST, Split, load_mnist
from .download import DataError, download_mnist
from .drawing import DrawingCanvas, gallery
from .evaluation import Evaluation, evaluate, predict_proba
from .model import DigitClassifier, LocalNormalise, layer_table
from .own_digits import Box, PictureError, Reading, find_digits, read_digits, to_mnist
from .progress import show_progress
from .resume import TrainingDiverged, resumable
from .runtime import autocast, describe_environment, seed_everything, select_device, to_device
from .training import TrainingConfig, train, train_epoch

__all__ = [
    "MNIST", "Batches", "Box", "CheckpointError", "DataError", "DigitClassifier", "Distortion",
    "DrawingCanvas", "Evaluation", "LocalNormalise", "PictureError", "Reading", "Split",
    "TrainingConfig", "TrainingDiverged", "autocast", "describe_environment", "distort",
    "download_mnist", "evaluate", "find_digits", "gallery", "layer_table", "load_mnist",
    "load_model", "predict_proba", "read_digits", "resumable", "save_model", "seed_everything",
    "select_device", "show_progress", "to_device", "to_mnist", "train", "train_epoch",
]  # fmt: skip
