"""The forecasting task: gives training its folds, networks, losses and scores.

Shape letters: B batch, C context steps, E examples, h horizon, Y targets.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from lstm_tune.data.folds import Fold, Split
from lstm_tune.data.panel import Floats, Integers, category_counts
from lstm_tune.data.scaling import ColumnStatistics, fit_statistics, seasonal_errors, training_rows
from lstm_tune.data.sequences import (
    Batch,
    Examples,
    Gatherer,
    Sequences,
    training_origins,
    validation_examples,
)
from lstm_tune.models.features import FeatureStatistics
from lstm_tune.models.forecaster import (
    Design,
    Forecaster,
    ForecastStatistics,
    Seen,
    View,
    context_steps,
    count_parameters,
)
from lstm_tune.models.problem import Part, Tally
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.tasks.losses import POINT_LOSSES, pinball
from lstm_tune.tasks.metrics import FORECAST_METRICS, Judged, Metric, ratio
from lstm_tune.tasks.ridge import complete_examples, series_scale

EVALUATION_BATCH = 1024
"""Forecasts judged in one forward pass: enough to fill the kernels, little enough for a worker beside many others."""

TRAINING_SAMPLE = 64, 256
"""Training forecasts that the generalisation gap is measured on after every epoch, at least and at most: a quarter of
all, as the windows of a short series overlap, and each costs a third of what training on it does."""

READY_BYTES = 64 * 2**20
"""The examples that a fold trains on, or is judged by, are kept ready up to this size. What a network sees of one does
not change while it trains, and preparing it takes as long as the step of a small network."""

FLOAT_BYTES = 4

UNIT_SAMPLE = 20_000
"""Training forecasts that the usual unit of each series is measured on, spread over all series."""


@dataclass(frozen=True)
class _Lesson:
    """Training examples, ready for a step.

    Attributes:
        seen: what the network sees.
        truth: [B, h, Y] in normalised units, zero where missing.
        weight: [B, h, Y] what an error counts, zero where the truth is missing.
    """

    seen: Seen
    truth: Tensor
    weight: Tensor

    @property
    def count(self) -> Tensor:
        """How many errors count, at least 1."""
        return torch.count_nonzero(self.weight).clamp(min=1)


class _Lessons:
    """All training examples, each in one row of a table, so that a step takes its batch in one copy.

    Args:
        parts: the examples, in order.
    """

    def __init__(self, parts: Sequence[_Lesson]) -> None:
        first = _tensors(parts[0])
        self._shapes = [tensor.shape[1:] for tensor in first]
        self._sizes = [tensor[0].numel() for tensor in first]
        self._table = torch.cat([torch.cat([tensor.flatten(1) for tensor in _tensors(part)], dim=1) for part in parts])

    def at(self, chosen: Tensor) -> _Lesson:
        """The examples `chosen` [B], numbers on the CPU."""
        pieces = torch.split(self._table.index_select(0, chosen.to(self._table.device)), self._sizes, dim=1)
        *seen, truth, weight = (
            piece.view(len(chosen), *shape) for piece, shape in zip(pieces, self._shapes, strict=True)
        )
        return _Lesson(Seen(*seen), truth, weight)


def _tensors(lesson: _Lesson) -> list[Tensor]:
    seen = lesson.seen
    return [seen.features, seen.static, seen.ahead, seen.base, lesson.truth, lesson.weight]


class ForecastProblem:
    """One fold of a forecasting experiment, for one configuration.

    Args:
        sequences: the data.
        fold: where training ends and which block judges.
        design: what task and data fix about the network.
        hyperparameters: one value for each of the task's.
        metric: how forecasts are scored.
    """

    def __init__(
        self, sequences: Sequences, fold: Fold, design: Design, hyperparameters: Hyperparameters, metric: Metric
    ) -> None:
        self._sequences = sequences
        self._fold = fold
        self._design = design
        self._metric = metric
        self._context = context_steps(hyperparameters, season=design.season)
        self._loss = POINT_LOSSES[str(hyperparameters["loss"])]
        self._levels = torch.tensor(design.quantiles or (0.5,))
        self._window = int(hyperparameters["window"])
        self._training = training_origins(sequences, fold, window=self._window)
        self._units: Tensor | None = None
        self._lessons: _Lessons | None = None
        self._judged = {
            "validation": validation_examples(sequences, fold, horizon=design.horizon),
            "training": self._training.spread(training_sample(len(self._training))),
        }
        self._gatherer = Gatherer(sequences, context=self._context, horizon=design.horizon)
        self._truths: dict[Part, tuple[list[Tensor], list[Tensor]]] = {}
        self._views: dict[Part, list[View]] = {}

    @property
    def examples(self) -> int:
        """Number of training forecasts."""
        return len(self._training)

    def network(self, hyperparameters: Hyperparameters) -> nn.Module:
        """A forecaster fitted to this fold's training rows; weights from torch's global generator."""
        is_log = bool(hyperparameters["log_transform"])
        statistics = fit_forecast_statistics(self._sequences, self._fold, is_log=is_log)
        network = Forecaster(self._design, statistics, hyperparameters)
        self._lessons, self._views = None, {}
        self._units = self._measure_units(network)
        self._fit_highway(network)
        return network

    def loss(self, network: nn.Module, chosen: Tensor) -> Tensor:
        """Mean loss of the training forecasts `chosen` [B], in the usual unit of each one's series.

        A metric counts an error the same whether the window before it was quiet or lively; an error in the window's own
        unit would count for more after a quiet one. On the validation folds of three panels this weight lowered MASE by
        1.1 to 3.0 %; on 22 single series it made no difference.
        """
        assert isinstance(network, Forecaster)
        lesson = self._lesson(network, chosen)
        forecast = network.scaled(lesson.seen)
        if not self._design.quantiles:
            return (self._loss(forecast, lesson.truth) * lesson.weight).sum() / lesson.count
        losses = pinball(forecast, lesson.truth, self._levels.to(forecast.device)) * lesson.weight.unsqueeze(-1)
        return losses.sum() / (lesson.count * len(self._levels)) * 2

    def _lesson(self, network: Forecaster, chosen: Tensor) -> _Lesson:
        """Training examples ready for a step: taken from all of them where these are few enough to be kept ready."""
        if self._lessons is None and self._takes_little(len(self._training)):
            batches = self._training.all().batches(EVALUATION_BATCH)
            self._lessons = _Lessons([self._made_ready(network, some) for some in batches])
        if self._lessons is None:
            return self._made_ready(network, self._training.at(chosen.numpy()))
        return self._lessons.at(chosen)

    def _takes_little(self, examples: int) -> bool:
        """Whether so many examples, as a network sees them, may be kept."""
        columns = self._sequences.past.shape[1] + self._sequences.known.shape[1] + self._sequences.static.shape[1]
        numbers = (self._window + 4 * self._design.horizon) * (2 * self._design.targets + columns)
        return bool(examples * numbers * FLOAT_BYTES <= READY_BYTES)

    def _made_ready(self, network: Forecaster, examples: Examples) -> _Lesson:
        assert self._units is not None, "the network was made by this problem"
        batch = _to(self._gatherer.batch(examples), _device(network))
        view = network.view(*batch.inputs)
        truth = network.scaled_target(batch.future, view)
        observed = ~truth.isnan()
        weight = view.scale / self._units[examples.series].unsqueeze(1).to(truth.device)  # [B, 1, Y]
        weight = weight.nan_to_num(1.0)  # of a series that was not measured
        # NaN would reach the gradient of a square.
        return _Lesson(view, torch.where(observed, truth, torch.zeros_like(truth)), weight * observed)

    def forecasts(self, network: nn.Module, part: Part) -> Tensor:
        """Forecasts of a part in the user's units; float32 [E, h, Y] or, with quantiles, [E, h, Y, Q], on the CPU.

        What a network of this problem sees of a part is kept, where that is little.
        """
        if not isinstance(network, Forecaster):
            return torch.cat([network(*_to(batch, _device(network)).inputs).cpu() for batch in self._batches(part)])
        return torch.cat([network.forecast(view).cpu() for view in self._seen(network, part)])

    def _seen(self, network: Forecaster, part: Part) -> Iterable[View]:
        """What the network sees of a part, batch by batch."""
        if part in self._views:
            return self._views[part]
        views = (network.view(*_to(batch, _device(network)).inputs) for batch in self._batches(part))
        is_kept = self._takes_little(len(self._judged[part]))
        return self._views.setdefault(part, list(views)) if is_kept else views

    def tally(self, network: nn.Module, part: Part) -> Tally:
        """Sums and counts of the metric, one pair a forecast."""
        return self.judge(self.forecasts(network, part), part)

    def judge(self, forecasts: Tensor, part: Part) -> Tally:
        """Sums and counts of the metric for given forecasts of a part, as `forecasts` returns them."""
        pairs = [
            self._metric.sums(judged(piece, future, scale, self._levels))
            for piece, future, scale in zip(torch.split(forecasts, EVALUATION_BATCH), *self._truth(part), strict=True)
        ]
        sums, counts = (torch.cat(column) for column in zip(*pairs, strict=True))
        return Tally(sums, counts)

    def truths(self, part: Part) -> tuple[Examples, list[Batch], list[Tensor]]:
        """The forecasts of a part, their values in batches, and the scale of each series' errors [E, 1, Y] likewise."""
        return self._judged[part], list(self._batches(part)), self._truth(part)[1]

    def _measure_units(self, network: Forecaster) -> Tensor:
        """The usual size of a normalised unit in each series, [S, Y]; NaN where a series has no training forecast."""
        examples = self._training.spread(UNIT_SAMPLE)
        _, _, scale = self._left_to_learn(network, examples)
        return series_scale(scale[:, 0], torch.from_numpy(examples.series), count=len(self._sequences.lengths))

    def _fit_highway(self, network: Forecaster) -> None:
        examples = complete_examples(self._sequences, self._fold, window=network.window, horizon=self._design.horizon)
        if network.highway is None or not len(examples) or self._units is None:
            return
        window, truth, scale = self._left_to_learn(network, examples)
        season = self._design.season if network.is_seasonal else 1
        network.highway.fit(window, truth, scale / self._units[examples.series].unsqueeze(1), season=season)

    def _left_to_learn(self, network: Forecaster, examples: Examples) -> tuple[Tensor, Tensor, Tensor]:
        batch = self._gatherer.batch(examples)
        return network.left_to_learn(batch.target, batch.future)

    def _batches(self, part: Part) -> Iterable[Batch]:
        """The fixed batches of a part, gathered one after the other."""
        return map(self._gatherer.batch, self._judged[part].batches(EVALUATION_BATCH))

    def _truth(self, part: Part) -> tuple[list[Tensor], list[Tensor]]:
        """The true values of a part [E, h, Y], and the scale of each series' errors [E, 1, Y], both in its batches."""
        if part not in self._truths:
            examples = self._judged[part]
            gatherer = Gatherer(self._sequences, context=1, horizon=self._design.horizon)
            futures = [gatherer.batch(some).future for some in examples.batches(EVALUATION_BATCH)]
            scale = torch.from_numpy(self._scale[examples.series]).unsqueeze(1)
            self._truths[part] = futures, list(torch.split(scale, EVALUATION_BATCH))
        return self._truths[part]

    @cached_property
    def _scale(self) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
        ends, power = self._fold.train_ends, self._metric.scale_power
        return seasonal_errors(self._sequences, ends, season=self._design.season, power=power)


@dataclass(frozen=True)
class ForecastTask:
    """A forecasting experiment: all folds of a panel.

    Attributes:
        sequences: the data.
        split: the folds and the locked test part.
        design: what task and data fix about a network.
        metric: name of the metric that is optimised.
    """

    sequences: Sequences
    split: Split
    design: Design
    metric: str

    def problems(self, hyperparameters: Hyperparameters) -> list[ForecastProblem]:
        """The folds, for one configuration."""
        return [self._problem(fold, hyperparameters) for fold in self.split.folds]

    def final_problem(self, hyperparameters: Hyperparameters) -> ForecastProblem:
        """All development rows to learn from, the test part to be judged by."""
        return self._problem(self.split.test, hyperparameters)

    def blocks(self) -> tuple[Integers, Integers, Integers]:
        """Fold, series and first target step of every validation forecast, in the order of the folds' tallies."""
        examples = [validation_examples(self.sequences, fold, horizon=self.design.horizon) for fold in self.split.folds]
        folds = np.repeat(np.arange(len(examples)), [len(part) for part in examples])
        series = np.concatenate([part.series for part in examples])
        steps = np.concatenate([part.origins - part.firsts for part in examples])
        return folds, series, steps

    def test_blocks(self) -> Integers:
        """Series of every forecast of the test part, in the order of its tally."""
        return validation_examples(self.sequences, self.split.test, horizon=self.design.horizon).series

    def development_targets(self) -> Floats:
        """Every target value before the test part, float32 [R, Y], NaN where missing."""
        return self.sequences.target[training_rows(self.sequences, self.split.test)]

    def score(self, tally: Tally) -> float:
        """The metric of pooled sums and counts."""
        return ratio(FORECAST_METRICS[self.metric], tally.sums, tally.counts)

    def parameters(self, hyperparameters: Hyperparameters) -> int:
        """Free parameters of the network, counted without memory for its weights."""
        sequences = self.sequences
        statistics = ForecastStatistics.blank(
            targets=self.design.targets,
            past=category_counts(sequences.past_features),
            known=category_counts(sequences.known_features),
            static=category_counts(sequences.static_features),
        )
        with torch.device("meta"):
            return count_parameters(Forecaster(self.design, statistics, hyperparameters))

    def _problem(self, fold: Fold, hyperparameters: Hyperparameters) -> ForecastProblem:
        return ForecastProblem(self.sequences, fold, self.design, hyperparameters, FORECAST_METRICS[self.metric])


def training_sample(examples: int) -> int:
    """How many of so many training forecasts are judged after an epoch."""
    least, most = TRAINING_SAMPLE
    return min(max(examples // 4, least), most)


def judged(forecast: Tensor, truth: Tensor, scale: Tensor, levels: Tensor) -> Judged:
    """A forecast beside the truth.

    Args:
        forecast: [E, h, Y], or [E, h, Y, Q] with Q levels.
        truth: [E, h, Y].
        scale: [E, 1, Y].
        levels: [Q]; 0.5 among them.
    """
    if forecast.dim() == truth.dim():
        return Judged(forecast, truth, scale, forecast.unsqueeze(-1), torch.tensor([0.5]))
    middle = levels.tolist().index(0.5)
    return Judged(forecast[..., middle], truth, scale, forecast, levels)


def fit_forecast_statistics(sequences: Sequences, fold: Fold, *, is_log: bool) -> ForecastStatistics:
    """Everything a network is told about its training rows, and about no others."""
    rows = training_rows(sequences, fold)
    target = fit_statistics(sequences.target[rows], is_log=is_log)
    takes_part = fold.train_ends > 0
    return ForecastStatistics(
        mean=torch.from_numpy(target.mean),
        scale=torch.from_numpy(target.scale),
        smallest=torch.from_numpy(target.smallest),
        past=_feature_statistics(fit_statistics(sequences.past[rows], sequences.past_features)),
        known=_feature_statistics(fit_statistics(sequences.known[rows], sequences.known_features)),
        static=_feature_statistics(fit_statistics(sequences.static[takes_part], sequences.static_features)),
    )


def _feature_statistics(columns: ColumnStatistics) -> FeatureStatistics:
    seen = tuple(torch.tensor(seen) for seen in columns.seen)
    return FeatureStatistics(columns.categories, torch.tensor(columns.mean), torch.tensor(columns.scale), seen)


def _device(network: nn.Module) -> torch.device:
    return next(network.parameters()).device


def _to(batch: Batch, device: torch.device) -> Batch:
    if device.type == "cpu":
        return batch
    values = (batch.target, batch.past, batch.known, batch.static, batch.future)
    return Batch(*(value.to(device, non_blocking=True) for value in values))
