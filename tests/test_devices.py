"""The whole path on an accelerator, where there is one, and on what stands for one elsewhere."""

from contextlib import nullcontext

import pytest
import torch
from torch.overrides import TorchFunctionMode

from mnist_helpers import DigitClassifier, augment, predict_proba, train, train_epoch


@pytest.fixture(params=["cuda", "mps"])
def device(request) -> torch.device:
    here = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if here is None or here.type != request.param:
        pytest.skip(f"This machine has no {request.param.upper()} device")
    return torch.device(request.param)


def trained(device: torch.device, splits) -> tuple[DigitClassifier, list[dict]]:
    torch.manual_seed(0)
    model = DigitClassifier().to(device)
    return model, train(model, splits, epochs=3)


def test_a_training_there_lowers_the_loss(device, splits):
    _, history = trained(device, splits)
    assert history[-1]["validation_loss"] < 0.8 * history[0]["validation_loss"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="This machine has no CUDA device")
def test_on_cuda_the_same_seed_gives_the_same_bits(splits, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    (_, history), (_, again) = (trained(torch.device("cuda"), splits) for _ in range(2))
    assert again == history


def test_predictions_there_are_those_of_the_cpu(device, splits):
    model, _ = trained(device, splits)
    images = splits.test.tensors[0]
    found = predict_proba(model, images.to(device))
    assert found.device.type == "cpu"
    assert torch.allclose(found, predict_proba(model.cpu(), images), atol=1e-3)


# Without one


class NoFloat64(TorchFunctionMode):
    """Refuses what Apple's GPUs can't do."""

    def __torch_function__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        if isinstance(result, torch.Tensor) and result.dtype == torch.float64:
            raise TypeError(f"{function} made a {result.dtype}")
        return result


class Reached(Exception):
    """The end of what can be computed without a GPU."""


def test_a_training_step_leaves_nothing_on_the_cpu_and_needs_no_float64(monkeypatch):
    """On the device meta, which has shapes and types but no values."""

    def backward(loss):
        assert loss.device.type == "meta"
        raise Reached

    monkeypatch.setattr(torch.Tensor, "backward", backward)
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which knows no meta
    model = DigitClassifier().to("meta")
    batch = torch.zeros(96, 1, 28, 28, dtype=torch.uint8), torch.zeros(96, dtype=torch.int64)
    optimizer = torch.optim.Adam(model.parameters())
    with NoFloat64(), pytest.raises(Reached):
        train_epoch(model, [batch], optimizer, change=augment)
