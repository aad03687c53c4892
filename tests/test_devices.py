"""The whole path on an accelerator, where there is one, and on what stands for one elsewhere."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from mnist_helpers import (
    MNIST,
    Batches,
    DigitClassifier,
    Distortion,
    TrainingConfig,
    evaluate,
    load_model,
    own_digits,
    predict_proba,
    read_digits,
    save_model,
    to_device,
    train,
    train_epoch,
)

from .conftest import draw_digits, same_weights


def accelerator() -> str | None:
    return (
        torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else None
    )


@pytest.fixture(params=["cuda", "mps"])
def device(request) -> torch.device:
    if accelerator() != request.param:
        pytest.skip(f"This machine has no {request.param.upper()} device")
    return torch.device(request.param)


def new_model(device: torch.device) -> DigitClassifier:
    torch.manual_seed(0)
    return to_device(DigitClassifier(), device)


def test_one_seed_gives_the_same_bits_twice_and_after_an_interruption(device, splits, tmp_path):
    def stop(model, inputs):
        seen.append(model.training)
        if sum(seen) == 5:  # the second of three batches of the second epoch
            raise KeyboardInterrupt

    config = TrainingConfig(epochs=2)
    models, histories, seen = [new_model(device) for _ in range(3)], [], []
    for model in models[:2]:
        torch.manual_seed(1)
        histories.append(train(model, splits, config))
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        interrupted = new_model(device)
        interrupted.register_forward_pre_hook(stop)
        torch.manual_seed(1)
        train(interrupted, splits, config, checkpoints=tmp_path)
    histories.append(train(models[2], splits, config, checkpoints=tmp_path))
    assert histories[0] == histories[1] == histories[2]
    assert same_weights(models[0], models[1]) and same_weights(models[0], models[2])


def test_probabilities_are_those_of_the_cpu(device, splits):
    model = new_model(device)
    train(model, splits, TrainingConfig(epochs=1))
    found = predict_proba(model, splits.test.images)
    expected = predict_proba(to_device(model, torch.device("cpu")), splits.test.images)
    assert (found - expected).abs().max() < 1e-4


def test_a_classifier_saved_there_loads_on_a_cpu(device, digits, tmp_path):
    model = new_model(device)
    save_model(model, tmp_path / "network.pt")
    loaded = load_model(tmp_path / "network.pt", DigitClassifier())
    assert next(loaded.parameters()).device.type == "cpu"
    difference = predict_proba(model, digits.images) - predict_proba(loaded, digits.images)
    assert difference.abs().max() < 1e-4


class NeverWaiting:
    """Batches of which, from the second one on, nothing may wait for the GPU."""

    def __init__(self, batches: Batches):
        self.batches, self.note_losses = batches, batches.note_losses

    def __iter__(self):
        try:
            for number, batch in enumerate(self.batches):
                yield batch
                if number == 0:
                    torch.cuda.set_sync_debug_mode("error")
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.skipif(accelerator() != "cuda", reason="This machine has no CUDA device")
def test_no_step_waits_for_the_gpu(digits):
    model = new_model(torch.device("cuda"))
    batches = Batches(digits, 25, 2, distortion=Distortion(), hard_images=0.5, device="cuda")
    optimizer = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=5e-3, total_steps=2 * len(batches), cycle_momentum=False
    )
    for _ in range(2):
        train_epoch(model, NeverWaiting(batches), optimizer, schedule)


DOUBLE_PRECISION = (torch.float64, torch.complex128)


class OnCpu(torch.Tensor):
    """A tensor that was moved to the CPU from a device that stands for Apple's."""


class LikeApples(TorchDispatchMode):
    """Refuses on the CPU, in place of MPS, what MPS can't do: numbers of 64 bits, and the layout
    in which its batch normalisation crashes. What is made from what `.cpu()` returned may have
    them, and so may what is made from that."""

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        result = function(*arguments, **(options or {}))
        given = tree_flatten((arguments, options))[0]
        tensors = [each for each in given if isinstance(each, torch.Tensor)]
        if any(isinstance(each, OnCpu) or each.dtype in DOUBLE_PRECISION for each in tensors):
            return result
        for each in tree_flatten(result)[0]:
            if isinstance(each, torch.Tensor):
                if each.dtype in DOUBLE_PRECISION:
                    raise TypeError("MPS has no float64")
                if each.ndim == 4 and not each.is_contiguous():
                    assert not each.is_contiguous(memory_format=torch.channels_last), function
        return result


@pytest.fixture
def like_apples(monkeypatch):
    move = torch.Tensor.cpu
    monkeypatch.setattr(torch.Tensor, "cpu", lambda tensor: move(tensor).as_subclass(OnCpu))
    with LikeApples():
        yield


def test_nothing_needs_what_apples_gpu_lacks(like_apples, tmp_path, monkeypatch):
    digits = draw_digits(60)
    torch.manual_seed(0)
    model = DigitClassifier()
    config = TrainingConfig(epochs=2, batch_size=25)
    history = train(model, MNIST(digits, digits, digits), config, checkpoints=tmp_path)
    assert len(history) == 2
    assert evaluate(model, digits).probabilities.dtype == "float64"
    save_model(model, tmp_path / "network.pt")
    assert predict_proba(model, digits.images).shape == (60, 10)
    # Whether it is a digit, another network says, which is on the CPU wherever the first one is.
    monkeypatch.setattr(own_digits, "is_digit", lambda images: torch.ones(len(images)) > 0)
    assert len(read_digits(model, digits.images[2].numpy())) == 1


def test_what_apples_gpu_lacks_is_found(like_apples):
    images = draw_digits(20).images[:, None].float()
    with pytest.raises(TypeError, match="no float64"):
        images.double().cpu()
    with pytest.raises(AssertionError):
        images.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
    assert images.cpu().double().softmax(dim=1).dtype == torch.float64
