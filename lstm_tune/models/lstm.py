"""Stacked LSTM layers on the fused kernels, with every regulariser that these kernels allow.

Shape letters: B batch, T time steps, F features, H units, D directions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LstmLayer(nn.Module):
    """One LSTM layer with weight-drop on its hidden-to-hidden matrix.

    For input x_t and previous hidden state h, with [h, x] concatenated:

        f = sigmoid(W_f [h, x] + b_f)        forget gate
        i = sigmoid(W_i [h, x] + b_i)        input gate
        g = tanh(W_g [h, x] + b_g)           candidate
        c = f * c + i * g                    cell state
        o = sigmoid(W_o [h, x] + b_o)        output gate
        h = o * tanh(c)                      hidden state

    The forget gate's bias starts at one, so that a new layer remembers.

    Args:
        features: F, size of each input vector.
        units: H, size of the hidden state of one direction.
        recurrent_dropout: share of hidden-to-hidden weights dropped, drawn once a call, so for all time steps alike.
        bidirectional: also read the sequence from its end; doubles the output.

    Source:
        Hochreiter and Schmidhuber 1997; forget bias: Jozefowicz, Zaremba and Sutskever 2015, section 3;
        weight-drop: Merity, Keskar and Socher 2018, section 2.
    """

    def __init__(
        self, features: int, units: int, *, recurrent_dropout: float = 0.0, bidirectional: bool = False
    ) -> None:
        super().__init__()
        self.lstm = nn.LSTM(features, units, batch_first=True, bidirectional=bidirectional)
        self.recurrent_dropout = recurrent_dropout
        for name, parameter in self.lstm.named_parameters():
            if name.startswith("bias_ih"):
                nn.init.ones_(parameter.data[units : 2 * units])
            elif name.startswith("bias_hh"):
                nn.init.zeros_(parameter.data[units : 2 * units])

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states of every step.

        Args:
            x: [B, T, F].

        Returns:
            [B, T, D·H]; the second half of the last axis is the reversed direction.
        """
        return training_states(x, [self]) if self.training else self.lstm(x)[0]

    def dropped_weights(self) -> list[Tensor]:
        """The weights of each direction after the other, as the kernels want them, some of them dropped."""
        weights = []
        for to_input, to_hidden, *biases in self.lstm.all_weights:
            kept = F.dropout(to_hidden, self.recurrent_dropout) if self.recurrent_dropout else to_hidden
            weights += [to_input, kept, *biases]
        return weights


def training_states(x: Tensor, layers: Sequence[LstmLayer], *, dropout: float = 0.0) -> Tensor:
    """Hidden states of the last of some layers, all in one call of the kernel.

    It does what torch's module does, without the 3 % that each module adds to the step of a small network.

    Args:
        x: [B, T, F].
        layers: on top of each other, with nothing but dropout between them.
        dropout: share of the features dropped between them, drawn for each step.

    Returns:
        [B, T, D·H].
    """
    first = layers[0].lstm
    weights = [weight for layer in layers for weight in layer.dropped_weights()]
    directions = 2 if first.bidirectional else 1
    zeros = x.new_zeros(len(layers) * directions, x.shape[0], first.hidden_size)
    return torch.lstm(x, (zeros, zeros), weights, True, len(layers), dropout, True, first.bidirectional, True)[0]


class Dropout(nn.Module):
    """Dropout of sequence features, with one mask a sequence (locked) or one a step.

    Args:
        share: share of features set to zero.
        locked: draw one mask for all time steps.

    Source:
        Locked masks: Gal and Ghahramani 2016, section 4.
    """

    def __init__(self, share: float, *, locked: bool) -> None:
        super().__init__()
        self.share = share
        self.locked = locked

    def forward(self, x: Tensor) -> Tensor:
        """Drops features of x [B, T, F] while training; [B, T, F]."""
        if not (self.training and self.share):
            return x
        if not self.locked:
            return F.dropout(x, self.share)
        return x * F.dropout(x.new_ones(x.shape[0], 1, x.shape[2]), self.share)


class StackedLstm(nn.Module):
    """LSTM layers on top of each other.

    Args:
        features: F, size of each input vector.
        units: H of every layer.
        depth: number of layers.
        dropout: between layers.
        recurrent_dropout: weight-drop within each layer.
        locked_dropout: one dropout mask a sequence.
        layer_norm: normalise the input of every layer but the first.
        residual: add each layer's input to its output where the sizes agree.
        bidirectional: read in both directions.
    """

    def __init__(
        self,
        features: int,
        *,
        units: int,
        depth: int = 1,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        locked_dropout: bool = True,
        layer_norm: bool = False,
        residual: bool = False,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.units = units
        self.output_size = units * (2 if bidirectional else 1)
        sizes = [features] + [self.output_size] * (depth - 1)
        self.layers = nn.ModuleList(
            LstmLayer(size, units, recurrent_dropout=recurrent_dropout, bidirectional=bidirectional) for size in sizes
        )
        norms = [nn.LayerNorm(size) if layer_norm else nn.Identity() for size in sizes[1:]]
        self.norms = nn.ModuleList([nn.Identity(), *norms])
        self.dropout = Dropout(dropout, locked=locked_dropout)
        self.residual = residual
        self.is_plain = not (layer_norm or residual or (locked_dropout and dropout))

    def forward(self, x: Tensor) -> Tensor:
        """Hidden states of the top layer for every step.

        Args:
            x: [B, T, F].

        Returns:
            [B, T, D·H].
        """
        if self.training and self.is_plain and not x.is_cuda:  # cuDNN would copy weights that lie apart
            return training_states(x, list(self.layers), dropout=self.dropout.share)  # type: ignore[arg-type]
        for i, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            entering = self.dropout(x) if i else x
            leaving = layer(norm(entering))
            x = x + leaving if self.residual and x.shape == leaving.shape else leaving
        return x

    def summary(self, states: Tensor) -> Tensor:
        """What each direction knows after its last step.

        Args:
            states: [B, T, D·H] from `forward`.

        Returns:
            [B, D·H].
        """
        last = states[:, -1, : self.units]
        if self.output_size == self.units:
            return last
        return torch.cat([last, states[:, 0, self.units :]], dim=-1)
