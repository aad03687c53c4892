"""What the notebook MNISTModelTraining.ipynb imports; any PyTorch classifier goes through it."""

import os
import sys

if sys.platform == "linux":
    # PyTorch's wheels have GNU OpenMP there: a thread that waits keeps its core busy for so many
    # rounds, by default 300,000, and beside other programs the one that it waits for gets no turn.
    # With two busy ones on two cores, a step took 61 ms, and 40 with this (at commit 8cfdf2f).
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")

# ruff: noqa: E402, F401
from .canvas import DrawingCanvas
from .data import MNIST, DataError, fetch, load
from .drawings import gallery
from .evaluation import Evaluation, evaluate, predict_logits, predict_proba, study
from .model import DigitClassifier, LocalNormalise, pretrained
from .own_digits import Box, Prediction, predict_digits, to_mnist
from .page import save_page
from .pictures import PictureError
from .training import augment, has_bfloat16, train, train_epoch
