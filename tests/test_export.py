"""The network for other programs: exported, it gives the numbers that it gives in PyTorch."""

import numpy as np
import pytest
import torch

from mnist_helpers import DigitClassifier

SHAPES = ({0: torch.export.Dim("batch")},)  # any number of images


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model(images) -> torch.nn.Module:
    torch.manual_seed(0)
    model = DigitClassifier().train()
    model(images)  # so that the batch norm's averages are not those that it begins with
    return model.eval()


@pytest.mark.parametrize("count", [1, 2, 64])
def test_the_exported_network_takes_any_number_of_images(model, images, count, tmp_path):
    program = torch.export.export(model, (images[:2],), dynamic_shapes=SHAPES)
    torch.export.save(program, tmp_path / "mnist.pt2")
    loaded = torch.export.load(tmp_path / "mnist.pt2").module()
    torch.testing.assert_close(loaded(images[:count]), model(images[:count]))


@pytest.fixture(scope="module")
def session(model, images, tmp_path_factory):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason="needs: pip install onnx onnxscript onnxruntime")
    import onnxruntime

    program = torch.onnx.export(model, (images[:2],), dynamic_shapes=SHAPES, dynamo=True)
    path = tmp_path_factory.mktemp("onnx") / "mnist.onnx"
    program.save(path)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("count", [1, 2, 64])
def test_onnx_runtime_gives_the_same_probabilities(session, model, images, count):
    (taken,) = session.get_inputs()
    (logits,) = session.run(None, {taken.name: images[:count].numpy()})
    expected = model(images[:count]).softmax(dim=1).detach().numpy()
    np.testing.assert_allclose(torch.tensor(logits).softmax(dim=1), expected, atol=1e-5)
