"""A bundle's network as one graph: raw values in, forecasts in the user's units out, for any batch size.

Shape letters: B batch, C context steps, h horizon, Y targets, Q quantiles, P/K/M past, known and static covariates.
"""

import copy
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from lstm_tune.bundle.files import Bundle
from lstm_tune.export.inputs import random_inputs
from lstm_tune.models.forecaster import Ensemble
from lstm_tune.spec.errors import ExportError

EXAMPLES = 3
"""Batch size while exporting: 0 and 1 are taken for constants."""

NOISY_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


class RawForecaster(nn.Module):
    """An ensemble whose covariates may be left out where there are none.

    Args:
        network: the members, averaged.
    """

    def __init__(self, network: Ensemble) -> None:
        super().__init__()
        self.network = network

    def forward(
        self, target: Tensor, past: Tensor | None = None, known: Tensor | None = None, static: Tensor | None = None
    ) -> Tensor:
        """Forecasts in the user's units.

        Args:
            target: [B, C, Y] history, NaN where missing or before the series.
            past: [B, C, P], or None for P = 0.
            known: [B, C + h, K], or None for K = 0.
            static: [B, M], or None for M = 0.

        Returns:
            [B, h, Y], or [B, h, Y, Q] with quantiles.
        """
        size, steps, horizon = target.shape[0], self.network.context, self.network.design.horizon
        past = target.new_zeros(size, steps, 0) if past is None else past
        known = target.new_zeros(size, steps + horizon, 0) if known is None else known
        static = target.new_zeros(size, 0) if static is None else static
        return self.network(target, past, known, static)  # type: ignore[no-any-return]


def capture(bundle: Bundle) -> torch.export.ExportedProgram:
    """The bundle's graph, with the LSTM as one operation and the batch size left open; its inputs are keywords.

    Nothing of this machine or of the data stays in it: neither source paths nor example values.

    Raises:
        ExportError: this release of torch cannot export the network.
    """
    inputs = random_inputs(bundle, size=EXAMPLES, generator=torch.Generator().manual_seed(0))
    batch = torch.export.Dim("batch")
    # Exporting replaces the flattened weights of nn.LSTM, so it gets a copy.
    graph = RawForecaster(copy.deepcopy(bundle.network)).eval()
    with quiet(), export_errors("torch.export"):
        program = torch.export.export(graph, (), inputs, dynamic_shapes={name: {0: batch} for name in inputs})
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    program.example_inputs = None
    return program


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the exporters' warnings and log lines, which are about torch's own workings, off the terminal."""
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def export_errors(exporter: str) -> Iterator[None]:
    """Turns whatever an exporter raises - its exceptions share no base class - into an `ExportError`."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        problem = f"{exporter} cannot express this model ({reason}). Export another format, or change the torch release"
        raise ExportError(problem) from error
