"""Scripts that train many networks, and the report. They use no more threads than the machine, or
the container's quota, has cores for."""

import mnist_helpers  # noqa: F401  sets how OpenMP's threads wait, which it reads when torch loads

# isort: split
import joblib
import torch

torch.set_num_threads(min(torch.get_num_threads(), joblib.cpu_count()))
