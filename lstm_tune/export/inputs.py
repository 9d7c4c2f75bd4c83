"""The raw inputs of an exported graph: their shapes, and random ones with every kind of missing value.

Shape letters: B batch, C context steps, h horizon, Y targets, P/K/M past, known and static covariates.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lstm_tune.bundle.files import Bundle
from lstm_tune.data.panel import Feature
from lstm_tune.models.features import FeatureEncoder
from lstm_tune.models.forecaster import Forecaster

Inputs = dict[str, Tensor]
"""Input name to values, float32; NaN where missing or before a series' start."""

SHARE_OF_HOLES = 0.3


def input_shapes(bundle: Bundle) -> dict[str, tuple[int, ...]]:
    """The inputs of a bundle's graph, in their order, with their shapes after the batch axis.

    Returns:
        `target` (C, Y), `past` (C, P), `known` (C + h, K) and `static` (M,); those without a column are left out.
    """
    steps, preprocessing = bundle.network.context, bundle.preprocessing
    shapes = {
        "target": (steps, bundle.design.targets),
        "past": (steps, len(preprocessing.past)),
        "known": (steps + bundle.design.horizon, len(preprocessing.known)),
        "static": (len(preprocessing.static),),
    }
    return {name: shape for name, shape in shapes.items() if shape[-1]}


def random_inputs(bundle: Bundle, *, size: int, generator: torch.Generator) -> Inputs:
    """Values such as training rows held: complete, left-padded, with holes and a zero, one step, nothing, and again.

    Args:
        bundle: what the values are for; its buffers give location and scale, its features the categories.
        size: B.
        generator: source of the randomness.

    Returns:
        Each input of `input_shapes`; categories include the unknown one, -1.
    """
    networks = [member for member in bundle.network.members if isinstance(member, Forecaster)]
    first = next((network for network in networks if network.is_log), networks[0])  # a logarithm wants positive values
    preprocessing, shapes, steps = bundle.preprocessing, input_shapes(bundle), bundle.network.context
    target = first.get_buffer("mean") + first.get_buffer("deviation") * torch.randn(
        size, *shapes["target"], generator=generator
    )
    covariates = {
        "past": (preprocessing.past, first.past),
        "known": (preprocessing.known, first.known),
        "static": (preprocessing.static, first.static),
    }
    inputs = {"target": target.exp() if first.is_log else target}
    inputs["target"][2::5, steps // 2] = 0  # which has no logarithm
    for name, shape in list(shapes.items())[1:]:
        inputs[name] = _covariates(*covariates[name], (size, *shape), generator)
    hidden = _hidden_steps(size, steps, generator)
    for name in set(inputs) - {"static"}:
        inputs[name][:, :steps][hidden] = torch.nan
    return inputs


def _covariates(
    features: Sequence[Feature], encoder: FeatureEncoder, shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    values = encoder.get_buffer("mean") + encoder.get_buffer("scale") * torch.randn(shape, generator=generator)
    for column, feature in enumerate(features):
        if feature.categories:
            codes = torch.randint(-1, len(feature.categories), shape[:-1], generator=generator)
            values[..., column] = codes.to(values.dtype)
    return values


def _hidden_steps(size: int, steps: int, generator: torch.Generator) -> Tensor:
    """Which steps of each example are missing; bool [B, C]."""
    numbers = torch.arange(steps)
    patterns = (
        numbers < 0,
        numbers < steps // 2,
        torch.rand(steps, generator=generator) < SHARE_OF_HOLES,
        numbers < steps - 1,
        numbers < steps,
    )
    return torch.stack([patterns[i % len(patterns)] for i in range(size)])
