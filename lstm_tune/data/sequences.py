"""From a panel to tensors: causal filling of missing values, and batches gathered by index from flat series.

Windows are never stored: a series' forecasts are a few numbers, and a batch is gathered from the flat arrays when it is
needed. The arrays may be read-only views of shared memory.

Shape letters: N rows, S series, B batch, C context steps, h horizon, Y targets, P/K/M past, known, static covariates.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lstm_tune.data.folds import Fold
from lstm_tune.data.panel import Feature, Floats, Integers, Panel


@dataclass(frozen=True)
class Sequences:
    """A panel's values, ready to be gathered.

    Attributes:
        starts: first row of each series and the end, int64 [S + 1].
        lengths: steps of history of each series, int64 [S].
        target: [N, Y] as given, NaN where missing: what forecasts are judged by.
        inputs: [N, Y] what a window shows: `target` with missing values filled by the rule, NaN where nothing can.
        carried: [N, Y] the last observed value, for filled steps whose gap ends after the forecast's origin; None when
            `inputs` looks at nothing later.
        resolved: int64 [N, Y] row of the next observed value, where `inputs` has an interpolated one; None likewise.
        past: [N, P].
        known: [N, K].
        static: [S, M].
        past_features: descriptions of the columns of `past`.
        known_features: descriptions of the columns of `known`.
        static_features: descriptions of the columns of `static`.
    """

    starts: Integers
    lengths: Integers
    target: Floats
    inputs: Floats
    carried: Floats | None
    resolved: Integers | None
    past: Floats
    known: Floats
    static: Floats
    past_features: tuple[Feature, ...]
    known_features: tuple[Feature, ...]
    static_features: tuple[Feature, ...]


def prepare(panel: Panel, *, missing: str) -> Sequences:
    """A panel with its missing values filled, looking back only.

    `interpolate` draws a line through a gap, but a window that ends inside the gap sees the last observed value carried
    forward instead: the line's other end lies in its future. `forward` always carries forward, `mask` leaves NaN.
    Covariates are carried forward where the target is interpolated: half-way between two categories lies a third, and
    the line's other end may lie in rows that judge.

    Args:
        panel: the data.
        missing: error, interpolate, forward or mask.
    """
    inputs, carried, resolved = _FILLS[missing](panel.target, panel.starts)
    fills = missing in ("interpolate", "forward")
    return Sequences(
        starts=panel.starts,
        lengths=panel.histories,
        target=panel.target,
        inputs=inputs,
        carried=carried,
        resolved=resolved,
        past=_forward(panel.past, panel.starts) if fills else panel.past,
        known=_forward(panel.known, panel.starts) if fills else panel.known,
        static=panel.static,
        past_features=panel.past_features,
        known_features=panel.known_features,
        static_features=panel.static_features,
    )


Filled = tuple[Floats, Floats | None, Integers | None]


def _leave(values: Floats, starts: Integers) -> Filled:
    return values, None, None


def _carry(values: Floats, starts: Integers) -> Filled:
    return _forward(values, starts), None, None


def _interpolate(values: Floats, starts: Integers) -> Filled:
    if not np.isnan(values).any():
        return values, None, None
    before, after = _neighbours(values, starts)
    rows = np.arange(len(values))[:, None]
    inside = (before >= 0) & (after < len(values))
    left = np.take_along_axis(values, np.maximum(before, 0), axis=0)
    right = np.take_along_axis(values, np.minimum(after, len(values) - 1), axis=0)
    share = (rows - before) / np.maximum(after - before, 1)
    carried = np.where(before >= 0, left, np.float32("nan"))
    line = np.where(inside, left + share * (right - left), carried).astype(np.float32)
    return np.where(np.isnan(values), line, values), carried, after


_FILLS = {"error": _leave, "mask": _leave, "forward": _carry, "interpolate": _interpolate}


def _forward(values: Floats, starts: Integers) -> Floats:
    if not np.isnan(values).any():
        return values
    before, _ = _neighbours(values, starts)
    filled = np.take_along_axis(values, np.maximum(before, 0), axis=0)
    return np.where(before >= 0, filled, np.float32("nan"))


def _neighbours(values: Floats, starts: Integers) -> tuple[Integers, Integers]:
    """For each row the nearest observed row at or before it (-1 for none) and at or after it (N), in its own series."""
    rows = np.arange(len(values))[:, None]
    observed = ~np.isnan(values)
    before = np.maximum.accumulate(np.where(observed, rows, -1), axis=0)
    after = np.minimum.accumulate(np.where(observed, rows, len(values))[::-1], axis=0)[::-1]
    sizes = np.diff(starts)
    first, end = np.repeat(starts[:-1], sizes)[:, None], np.repeat(starts[1:], sizes)[:, None]
    return np.where(before >= first, before, -1), np.where(after < end, after, len(values))


@dataclass(frozen=True)
class Examples:
    """Forecasts to train on or to be judged by, as row numbers.

    Attributes:
        origins: row of the first forecast step, int64 [E].
        firsts: first row of the series, int64 [E].
        limits: first row that is no target any more, int64 [E].
        series: index of the series, int64 [E].
    """

    origins: Integers
    firsts: Integers
    limits: Integers
    series: Integers

    def __len__(self) -> int:
        return len(self.origins)

    def batches(self, size: int) -> Iterator["Examples"]:
        """All of them in order, `size` or fewer at a time; one without any where there is none."""
        for first in range(0, max(len(self), 1), size):
            part = slice(first, first + size)
            yield Examples(self.origins[part], self.firsts[part], self.limits[part], self.series[part])


@dataclass(frozen=True)
class Origins:
    """Equally spaced forecasts of each series: a few numbers a series, however many forecasts.

    Attributes:
        begins: row of each series' first origin, int64 [S].
        offsets: number of each series' first forecast and the end, int64 [S + 1].
        firsts: first row of each series, int64 [S].
        limits: first row of each that is no target any more, int64 [S].
        stride: steps from one origin to the next.
    """

    begins: Integers
    offsets: Integers
    firsts: Integers
    limits: Integers
    stride: int

    @classmethod
    def of(cls, sequences: Sequences, first: Integers, counts: Integers, limits: Integers, *, stride: int) -> "Origins":
        """`counts` forecasts of each series from the step `first` on, none of a step at `limits` or later."""
        rows = sequences.starts[:-1]
        return cls(rows + first, np.append(0, np.cumsum(counts)), rows, rows + limits, stride)

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def at(self, numbers: Integers) -> Examples:
        """The examples with the given numbers, int64 [E], each below `len(self)`."""
        series = np.searchsorted(self.offsets, numbers, side="right") - 1
        origins = self.begins[series] + (numbers - self.offsets[series]) * self.stride
        return Examples(origins, self.firsts[series], self.limits[series], series)

    def all(self) -> Examples:
        """All examples, series by series and in each in the order of time."""
        return self.at(np.arange(len(self)))

    def spread(self, count: int) -> Examples:
        """At most `count` examples, evenly spread over the series and, within one, over the time."""
        if len(self) <= count:
            return self.all()
        return self.at(np.linspace(0, len(self) - 1, count).round().astype(np.int64))


def training_origins(sequences: Sequences, fold: Fold, *, window: int) -> Origins:
    """Every origin whose targets lie before the fold's training end.

    Origins start once a window is full; a series shorter than two windows starts at half its length, its first windows
    padded. The last origins have fewer targets than the horizon.

    Args:
        sequences: the data.
        fold: where training ends in each series.
        window: input steps.
    """
    ends = fold.train_ends
    first = np.minimum(window, np.maximum(ends // 2, 1))
    return Origins.of(sequences, first, np.maximum(ends - first, 0), ends, stride=1)


def complete_origins(sequences: Sequences, fold: Fold, *, window: int, horizon: int) -> Origins:
    """Those of the training origins whose window and whole horizon lie within their series' training steps."""
    ends = fold.train_ends
    first = np.full_like(ends, window)
    return Origins.of(sequences, first, np.maximum(ends - first - horizon + 1, 0), ends, stride=1)


def validation_examples(sequences: Sequences, fold: Fold, *, horizon: int) -> Examples:
    """The fixed forecasts of a fold's block: one every `horizon` steps, each step of the block a target once.

    Args:
        sequences: the data.
        fold: the blocks.
        horizon: steps of a forecast.
    """
    counts = -(-(fold.ends - fold.starts) // horizon)
    return Origins.of(sequences, fold.starts, counts, fold.ends, stride=horizon).all()


@dataclass(frozen=True)
class Batch:
    """Some examples' values.

    Attributes:
        target: [B, C, Y] history, NaN where missing or before the series.
        past: [B, C, P].
        known: [B, C + h, K], NaN where missing or outside the series.
        static: [B, M].
        future: [B, h, Y] the truth, NaN where missing or beyond the limit.
    """

    target: Tensor
    past: Tensor
    known: Tensor
    static: Tensor
    future: Tensor

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What a forecaster is called with."""
        return self.target, self.past, self.known, self.static


class Gatherer:
    """Gathers batches of examples.

    Args:
        sequences: the data; its arrays are read, never written.
        context: C, steps of history.
        horizon: h.
    """

    def __init__(self, sequences: Sequences, *, context: int, horizon: int) -> None:
        self._context = context
        self._offsets = torch.arange(-context, horizon)
        self._starts = _tensor(sequences.starts)
        self._inputs, self._target = _tensor(sequences.inputs), _tensor(sequences.target)
        self._carried = None if sequences.carried is None else _tensor(sequences.carried)
        self._resolved = None if sequences.resolved is None else _tensor(sequences.resolved)
        self._past, self._known, self._static = (
            _tensor(values) for values in (sequences.past, sequences.known, sequences.static)
        )
        self._last_row = len(sequences.target) - 1

    def batch(self, examples: Examples) -> Batch:
        """The values of some examples."""
        series = _tensor(examples.series)
        origins, firsts, limits = (
            _tensor(rows).unsqueeze(1) for rows in (examples.origins, examples.firsts, examples.limits)
        )
        rows = origins + self._offsets  # [B, C + h]
        before, beyond, after = rows < firsts, rows >= limits, rows >= self._starts[series + 1].unsqueeze(1)
        rows = rows.clamp(0, self._last_row)
        history, ahead = rows[:, : self._context], rows[:, self._context :]
        target = self._inputs[history]
        if self._carried is not None and self._resolved is not None:
            is_past = self._resolved[history] < origins.unsqueeze(2)
            target = torch.where(is_past, target, self._carried[history])
        padding = before[:, : self._context].unsqueeze(2)
        target, past = (values.masked_fill(padding, torch.nan) for values in (target, self._past[history]))
        known = self._known[rows].masked_fill((before | after).unsqueeze(2), torch.nan)
        future = self._target[ahead].masked_fill(beyond[:, self._context :].unsqueeze(2), torch.nan)
        return Batch(target, past, known, self._static[series], future)


def _tensor(values: Floats | Integers) -> Tensor:
    """A tensor over the same memory, which nobody writes to."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)
