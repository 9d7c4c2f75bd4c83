"""The forecasting network: raw windows in, forecasts in the user's units out.

Everything between - transformation, normalisation, encoding, the LSTM, the highway, the way back - is inside, so an
exported graph needs no preprocessing. NaN marks a missing value and the padding of a series shorter than the window.

Shape letters: B batch, C context steps, W window steps, h horizon, Y targets, Q quantiles, H units.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lstm_tune.models.features import FeatureEncoder, FeatureStatistics
from lstm_tune.models.linear import Highway
from lstm_tune.models.lstm import Dropout, StackedLstm
from lstm_tune.models.normalization import NORMALIZERS, last_observed
from lstm_tune.models.seasonality import PROFILE_SEASONS, seasonal_profile
from lstm_tune.spec.hyperparameters import Value


@dataclass(frozen=True)
class Design:
    """What the task and the data fix about a forecaster, whatever the hyperparameters.

    Attributes:
        horizon: h, steps to forecast.
        season: steps in a season, 1 for none.
        targets: Y.
        quantiles: levels in rising order with 0.5 among them, or empty for a point forecast.
        indicator: whether the network is told which steps were observed.
    """

    horizon: int
    season: int
    targets: int
    quantiles: tuple[float, ...] = ()
    indicator: bool = False


@dataclass(frozen=True)
class ForecastStatistics:
    """What is fitted on a fold's training rows and becomes part of the network.

    Attributes:
        mean: [Y] of the target, after the log where it is used.
        scale: [Y] standard deviation likewise, above zero.
        smallest: [Y] smallest positive training value; the logarithm is taken of nothing below half of it, and of half
            of it where a history shows nothing positive.
        past: of the past covariates.
        known: of the known covariates.
        static: of the static covariates.
    """

    mean: Tensor
    scale: Tensor
    smallest: Tensor
    past: FeatureStatistics
    known: FeatureStatistics
    static: FeatureStatistics

    @classmethod
    def blank(
        cls, *, targets: int, past: Sequence[int], known: Sequence[int], static: Sequence[int]
    ) -> "ForecastStatistics":
        """Statistics of no rows, for a network whose buffers are loaded later or only counted.

        Args:
            targets: Y.
            past: categories of each past covariate, 0 for a numeric one.
            known: likewise.
            static: likewise.
        """
        encoders = (FeatureStatistics.blank(categories) for categories in (past, known, static))
        return cls(torch.zeros(targets), torch.ones(targets), torch.ones(targets), *encoders)


@dataclass(frozen=True)
class Seen:
    """Some examples as the trained part of a network sees them: nothing here depends on a weight.

    Attributes:
        features: [B, W, F] what the LSTM reads; the normalised targets come first.
        static: [B, M'] encoded static covariates.
        ahead: [B, h, K'] encoded known covariates of the forecast steps.
        base: [B, h, Y] the seasonal naive forecast, zeros where it is not used.
    """

    features: Tensor
    static: Tensor
    ahead: Tensor
    base: Tensor


@dataclass(frozen=True)
class View(Seen):
    """What the trained part sees, and what leads from its units to the user's.

    Attributes:
        location: [B, h, Y] of the normalised units.
        scale: [B, 1, Y] likewise.
        floor: [B, 1, Y] what the logarithm is taken of where a value is not positive; unused without a logarithm.
    """

    location: Tensor
    scale: Tensor
    floor: Tensor


def context_steps(hyperparameters: Mapping[str, Value], *, season: int) -> int:
    """Steps of history a forecaster reads: its window, or a season or several where they are longer and used."""
    window = int(hyperparameters["window"])
    if hyperparameters["seasonal_adjustment"] and season > 1:
        return max(window, PROFILE_SEASONS * season)
    return max(window, season) if hyperparameters["seasonal_residual"] else window


class Forecaster(nn.Module):
    """An LSTM over the window, with a linear highway and a seasonal residual beside it.

    Args:
        design: what task and data fix.
        statistics: fitted on training rows.
        hyperparameters: one value for each of the forecast task's hyperparameters.

    Source:
        Per-window scaling: Salinas et al. 2020 (DeepAR), section 3.3.
    """

    def __init__(self, design: Design, statistics: ForecastStatistics, hyperparameters: Mapping[str, Value]) -> None:
        super().__init__()
        value = hyperparameters
        self.design = design
        self.window = int(value["window"])
        self.context = context_steps(value, season=design.season)
        self.is_log = bool(value["log_transform"])
        self.is_seasonal = bool(value["seasonal_residual"])
        self.is_adjusted = bool(value["seasonal_adjustment"]) and design.season > 1
        self.normalization = str(value["normalization"])
        self.input_noise = float(value["input_noise"])
        self.outputs = max(len(design.quantiles), 1)
        self.register_buffer("mean", statistics.mean.clone())
        self.register_buffer("deviation", statistics.scale.clone())
        self.register_buffer("smallest", statistics.smallest.clone())
        self.past = FeatureEncoder(statistics.past)
        self.known = FeatureEncoder(statistics.known)
        self.static = FeatureEncoder(statistics.static)
        features = design.targets * (2 if design.indicator else 1) + self.past.output_size + self.known.output_size
        locked, dropout = bool(value["locked_dropout"]), float(value["dropout"])
        self.input_dropout = Dropout(float(value["input_dropout"]), locked=locked)
        self.lstm = StackedLstm(
            features + self.static.output_size,
            units=int(value["units"]),
            depth=int(value["depth"]),
            dropout=dropout,
            recurrent_dropout=float(value["recurrent_dropout"]),
            locked_dropout=locked,
            layer_norm=bool(value["layer_norm"]),
            residual=bool(value["residual"]),
            bidirectional=bool(value["bidirectional"]),
        )
        self.output_dropout = nn.Dropout(dropout)
        summary = self.lstm.output_size + self.static.output_size
        self.head = _zero_linear(summary, design.horizon * design.targets * self.outputs)
        self.step_head = _step_head(summary, self.known.output_size, design.targets * self.outputs)
        self.highway = Highway(self.window, design.horizon) if value["highway"] else None

    def forward(self, target: Tensor, past: Tensor, known: Tensor, static: Tensor) -> Tensor:
        """Forecasts in the user's units.

        Args:
            target: [B, C, Y] the last C steps, NaN where missing; C is `self.context`.
            past: [B, C, P] past covariates of the same steps.
            known: [B, C + h, K] known covariates of these and the forecast steps.
            static: [B, M] static covariates.

        Returns:
            [B, h, Y], or [B, h, Y, Q] with quantiles, which never cross.
        """
        return self.forecast(self.view(target, past, known, static))

    def view(self, target: Tensor, past: Tensor, known: Tensor, static: Tensor) -> View:
        """What the trained part sees of a batch; arguments as in `forward`."""
        floor = self._floor(target)
        series, observed, location, scale = self._normalized(target, floor)
        window = series[:, -self.window :]
        steps = known.shape[1] - self.design.horizon
        known_features, static_features = self.known(known), self.static(static)
        parts = [window]
        if self.design.indicator:
            parts.append(observed[:, -self.window :].to(window.dtype))
        parts.append(self.past(past[:, -self.window :]))
        parts.append(known_features[:, steps - self.window : steps])
        parts.append(static_features.unsqueeze(1).expand(-1, self.window, -1))
        return View(
            features=torch.cat(parts, dim=-1),
            static=static_features,
            ahead=known_features[:, steps:],
            base=self._seasonal(series, observed).expand(target.shape[0], -1, -1),
            location=location,
            scale=scale,
            floor=floor,
        )

    def forecast(self, view: View) -> Tensor:
        """Forecasts in the user's units; result as `forward`."""
        location, scale = view.location, view.scale
        if self.design.quantiles:
            location, scale = location.unsqueeze(-1), scale.unsqueeze(-1)
        forecast = self.scaled(view) * scale + location
        return forecast.exp() if self.is_log else forecast

    def scaled(self, seen: Seen) -> Tensor:
        """Forecasts in normalised units; [B, h, Y] or, with quantiles, [B, h, Y, Q]."""
        window = seen.features[..., : self.design.targets]
        features = self._noisy(seen.features) if self.training and self.input_noise else seen.features
        summary = self.lstm.summary(self.lstm(self.input_dropout(features)))
        if seen.static.shape[1]:
            summary = torch.cat([summary, seen.static], dim=-1)
        summary = self.output_dropout(summary)
        raw = self.head(summary).unflatten(1, (self.design.horizon, -1))  # [B, h, Y·Q]
        if self.step_head is not None:
            repeated = summary.unsqueeze(1).expand(-1, self.design.horizon, -1)
            raw = raw + self.step_head(torch.cat([repeated, seen.ahead], dim=-1))
        base: Tensor = seen.base if self.highway is None else seen.base + self.highway(window)
        if not self.design.quantiles:
            points: Tensor = base + raw
            return points
        raw = raw.unflatten(2, (self.design.targets, self.outputs))  # [B, h, Y, Q]
        return base.unsqueeze(-1) + self._ordered(raw)

    def left_to_learn(self, target: Tensor, future: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a linear highway is fitted to.

        Args:
            target: [B, C, Y] history, as in `forward`.
            future: [B, h, Y] the truth.

        Returns:
            The window [B, W, Y] and what the seasonal residual leaves of the truth [B, h, Y], in normalised units, and
            the size [B, 1, Y] of such a unit.
        """
        floor = self._floor(target)
        series, observed, location, scale = self._normalized(target, floor)
        truth = self._transformed(future, floor)
        rest = (truth - location) / scale - self._seasonal(series, observed)
        return series[:, -self.window :], rest, scale

    def scaled_target(self, target: Tensor, view: View) -> Tensor:
        """The truth [B, h, Y] in the normalised units of a view; NaN stays NaN."""
        return (self._transformed(target, view.floor) - view.location) / view.scale

    def _noisy(self, features: Tensor) -> Tensor:
        """The features [B, W, F] with Gaussian noise on the targets."""
        window, others = features.tensor_split([self.design.targets], dim=-1)
        return torch.cat([window + self.input_noise * torch.randn_like(window), others], dim=-1)

    def _transformed(self, target: Tensor, floor: Tensor) -> Tensor:
        """The target [B, T, Y] or its logarithm, of `floor` where it is not positive; NaN stays NaN."""
        if not self.is_log:
            return target
        positive = torch.where(target <= 0, floor, target)
        return torch.maximum(positive, 0.5 * self.get_buffer("smallest")).log()

    def _floor(self, history: Tensor) -> Tensor:
        """Half the smallest positive value of each history [B, C, Y], or of the training rows; [B, 1, Y].

        A zero among thousands would lie too far below them if it counted as the smallest value of another series. Where
        no logarithm is taken, the training rows' does for all.
        """
        if not self.is_log:
            return (0.5 * self.get_buffer("smallest")).expand(history.shape[0], 1, -1)
        positive = torch.where(history > 0, history, torch.full_like(history, torch.inf))
        smallest = positive.amin(dim=1, keepdim=True)
        return 0.5 * torch.where(smallest.isinf(), self.get_buffer("smallest"), smallest)

    def _location_and_scale(self, window: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
        """The window's own, or the training rows' where it shows nothing; both [B, 1, Y]."""
        shape = (window.shape[0], 1, window.shape[2])
        mean, deviation = self.get_buffer("mean").expand(shape), self.get_buffer("deviation").expand(shape)
        if self.normalization == "none":
            return mean, deviation
        location, scale = NORMALIZERS[self.normalization](window, observed)
        is_known = observed.any(dim=1, keepdim=True)
        return torch.where(is_known, location, mean), torch.where(is_known, scale, deviation)

    def _normalized(self, target: Tensor, floor: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Normalised history and where it was observed, both [B, C, Y]; location [B, h, Y] and scale [B, 1, Y]."""
        observed = ~target.isnan()
        values = torch.where(observed, self._transformed(target, floor), torch.zeros_like(target))
        profile = self._profile(values, observed)
        values = torch.where(observed, values - self._repeated(profile, -self.context, 0), values)
        location, scale = self._location_and_scale(values[:, -self.window :], observed[:, -self.window :])
        series = torch.where(observed, (values - location) / scale, torch.zeros_like(values))
        return series, observed, location + self._repeated(profile, 0, self.design.horizon), scale

    def _profile(self, values: Tensor, observed: Tensor) -> Tensor:
        """What each step of the season usually adds [B, m, Y], or one row of zeros where that is not taken out."""
        if not self.is_adjusted:
            return values.new_zeros(1, 1, self.design.targets)
        return seasonal_profile(values, observed, self.design.season)

    def _repeated(self, profile: Tensor, first: int, end: int) -> Tensor:
        """The profile of the steps from `first` to `end`, counted from the first forecast step; [B, T, Y]."""
        return profile[:, [step % profile.shape[1] for step in range(first, end)]]

    def _seasonal(self, series: Tensor, observed: Tensor) -> Tensor:
        """The seasonal naive forecast that the network's is added to, zeros where it is not used; [B, h, Y]."""
        if not self.is_seasonal:
            return series.new_zeros(1, self.design.horizon, self.design.targets)
        season = self.design.season
        steps = [self.context - season + step % season for step in range(self.design.horizon)]
        return torch.where(observed[:, steps], series[:, steps], last_observed(series, observed))

    def _ordered(self, raw: Tensor) -> Tensor:
        """Quantiles that cannot cross: the median, and positive steps away from it on both sides; [B, h, Y, Q]."""
        middle = self.design.quantiles.index(0.5)
        median = raw[..., middle : middle + 1]
        above = nn.functional.softplus(raw[..., middle + 1 :]).cumsum(dim=-1)
        below = nn.functional.softplus(raw[..., :middle]).flip(-1).cumsum(dim=-1).flip(-1)
        return torch.cat([median - below, median, median + above], dim=-1)


def _step_head(summary: int, known: int, outputs: int) -> nn.Module | None:
    """Lets the known covariates of a forecast step act on that step's forecast."""
    if not known:
        return None
    width = max(8, min(64, summary))
    return nn.Sequential(nn.Linear(summary + known, width), nn.GELU(), _zero_linear(width, outputs))


def _zero_linear(inputs: int, outputs: int) -> nn.Linear:
    """Adds nothing before training, so a network starts at its highway and its seasonal residual."""
    linear = nn.Linear(inputs, outputs)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


class Ensemble(nn.Module):
    """Forecasters whose forecasts are averaged; quantiles are averaged level by level and so never cross.

    Args:
        members: at least one, of one design; they may have other hyperparameters and read contexts of other length.
        weights: share of each member's forecast, adding up to one; None for equal ones.
    """

    def __init__(self, members: Sequence[Forecaster], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.weights = tuple(weights or [1 / len(members)] * len(members))
        self.context = max(member.context for member in members)
        self.design = members[0].design

    def forward(self, target: Tensor, past: Tensor, known: Tensor, static: Tensor) -> Tensor:
        """Mean forecast in the user's units; arguments and result as `Forecaster.forward`, with the longest context."""
        forecasts = []
        for member, weight in zip(self.members, self.weights, strict=True):
            assert isinstance(member, Forecaster)
            steps = member.context
            ahead = known[:, -(steps + self.design.horizon) :]
            forecasts.append(weight * member(target[:, -steps:], past[:, -steps:], ahead, static))
        return torch.stack(forecasts).sum(dim=0)


def count_parameters(network: nn.Module) -> int:
    """Free parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
