"""AdamW as one fused kernel, without the machinery around torch's.

`torch.optim` imports the compiler at its first step, a second and a half in every process, and spends a third of a
small network's step on bookkeeping. The kernel, and so every number, is the same.
"""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


@final
class FusedAdamW:
    """Adam with decoupled weight decay; parameters without a gradient stay as they are.

    Source: Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization", algorithm 2.

    Args:
        parameters: changed in place.
        learning_rate: step size; may be set anew between steps.
        weight_decay: decay a step, in units of the step size.
    """

    def __init__(self, parameters: Sequence[Tensor], *, learning_rate: float, weight_decay: float) -> None:
        self.learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(parameter) for parameter in parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None]) -> None:
        """Takes a step.

        Args:
            gradients: one a parameter; None where the loss does not depend on it.
        """
        used = [i for i, gradient in enumerate(gradients) if gradient is not None]
        steps = [self._steps[i] for i in used]
        torch._foreach_add_(steps, 1)
        torch._fused_adamw_(
            [self._parameters[i] for i in used],
            [gradient for gradient in gradients if gradient is not None],
            [self._means[i] for i in used],
            [self._squares[i] for i in used],
            [],
            steps,
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=self._weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Moments and counts, by parameter."""
        named = {"exp_avg": self._means, "exp_avg_sq": self._squares, "step": self._steps}
        return {f"{i}.{name}": value for name, values in named.items() for i, value in enumerate(values)}

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Goes back to what `state` returned; the step size stays."""
        for name, value in self.state().items():
            value.copy_(state[name])


def clip(gradients: Sequence[Tensor | None], largest: float) -> None:
    """Shrinks all gradients together, in place, to a norm of at most `largest`, as `clip_grad_norm_` of torch does."""
    present = [gradient for gradient in gradients if gradient is not None]
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(present)))
    torch._foreach_mul_(present, torch.clamp(largest / (norm + 1e-6), max=1.0))
