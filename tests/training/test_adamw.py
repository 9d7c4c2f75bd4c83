import subprocess
import sys

import pytest
import torch
from torch import nn

from lstm_tune.training.adamw import FusedAdamW, clip


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def losses(rows: torch.Tensor, steps: int, step: object, made: nn.Module) -> list[float]:
    found = []
    for _ in range(steps):
        loss = made(rows).square().mean()
        found.append(loss.item())
        step(loss)  # type: ignore[operator]
    return found


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_steps_are_those_of_torchs_own(weight_decay: float) -> None:
    rows, ours, theirs = torch.randn(8, 3), network(), network()
    parameters = list(ours.parameters())
    fused = FusedAdamW(parameters, learning_rate=0.03, weight_decay=weight_decay)
    plain = torch.optim.AdamW(theirs.parameters(), lr=0.03, weight_decay=weight_decay)

    def step_theirs(loss: torch.Tensor) -> None:
        plain.zero_grad()
        loss.backward()
        plain.step()

    found = losses(rows, 20, lambda loss: fused.step(torch.autograd.grad(loss, parameters)), ours)
    assert found == pytest.approx(losses(rows, 20, step_theirs, theirs), rel=1e-5)
    assert found[-1] < found[0]


def test_parameter_without_gradient_stays() -> None:
    used, unused = torch.ones(2), torch.ones(2)
    FusedAdamW([used, unused], learning_rate=0.1, weight_decay=0.1).step([torch.ones(2), None])
    assert unused.tolist() == [1.0, 1.0]
    assert used.tolist() != [1.0, 1.0]


def test_loaded_state_goes_on_as_the_one_it_came_from() -> None:
    values, others = torch.ones(2), torch.ones(2)
    first = FusedAdamW([values], learning_rate=0.1, weight_decay=0.0)
    first.step([torch.tensor([1.0, -2.0])])
    second = FusedAdamW([others], learning_rate=0.1, weight_decay=0.0)
    second.load_state(first.state())
    others.copy_(values)
    for one in (first, second):
        one.step([torch.tensor([0.5, 0.5])])
    assert values.tolist() == others.tolist()


@pytest.mark.parametrize("largest", [0.5, 100.0])
def test_gradients_are_clipped_as_torch_does(largest: float) -> None:
    gradients = [torch.tensor([3.0, -4.0]), None, torch.tensor([[12.0]])]
    parameters = [torch.zeros_like(gradient) for gradient in gradients if gradient is not None]
    for parameter, gradient in zip(parameters, (gradients[0], gradients[2]), strict=True):
        parameter.grad = gradient.clone() if gradient is not None else None
    nn.utils.clip_grad_norm_(parameters, largest)
    clip(gradients, largest)
    found = [gradient for gradient in gradients if gradient is not None]
    for gradient, parameter in zip(found, parameters, strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_training_does_not_import_torchs_compiler() -> None:
    script = (
        "import sys, torch\nfrom lstm_tune.training.adamw import FusedAdamW, clip\n"
        "weights = [torch.ones(2, requires_grad=True)]\n"
        "optimizer = FusedAdamW(weights, learning_rate=0.1, weight_decay=0.0)\n"
        "optimizer.step(torch.autograd.grad(weights[0].sum(), weights))\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout == "False\n"
