"""What the notebook MNISTModelTraining.ipynb imports; any PyTorch classifier goes through it."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    raise ImportError("mnist_helpers needs Python 3.11 or newer: choose another kernel.")

# ruff: noqa: E402
from .canvas import DrawingCanvas, gallery
from .data import MNIST, DataError, fetch, load
from .evaluation import Evaluation, evaluate, predict_logits, predict_proba, study
from .model import DigitClassifier, LocalNormalise
from .own_digits import Box, PictureError, Prediction, find_digits, predict_digits, to_mnist
from .training import augment, has_bfloat16, train, train_epoch
