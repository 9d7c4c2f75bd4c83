"""Where a worker trains."""

import ray
import torch


def own_device() -> torch.device:
    """Where the process of a trial trains: the GPU that Ray gave it, else the CPU.

    A GPU that it can see but was not given is somebody else's; one that Ray only counts is no device.
    """
    is_given = bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))
    return torch.device("cuda" if is_given and torch.cuda.is_available() else "cpu")
