"""Linear least squares in closed form: the ridge baseline's fit, and what a forecaster's highway starts from.

Shape letters: B batch, E examples, W window steps, h horizon, Y targets.
"""

import torch
from torch import Tensor, nn

CAUTION = 2.0
"""What a degree of freedom costs in generalised cross-validation. Errors of overlapping windows resemble each other, so
a price of one overfits short series: on the validation folds of 16, prices of 2 and 1 gave 0.702 and 0.718 of the
seasonal naive's error; on 22, prices of 1.5, 2 and 3 gave 0.696, 0.692 and 0.692.

Source: Kim and Gu 2004, "Smoothing spline Gaussian regression", section 4.3, for raising the price."""

PENALTIES = torch.logspace(-8, 3, 34, dtype=torch.float64)
"""Penalties to choose from, as multiples of the mean square of the inputs."""


DECAYS = (0.0, 1.0, 2.0)
"""How fast the prior deviation of a weight falls with its lag: as lag^-decay. Recent steps say more than old ones do.

Source: Litterman 1986, "Forecasting with Bayesian vector autoregressions", for a prior that tightens with the lag."""


class Highway(nn.Module):
    """A linear map from the window to the horizon: fitted in closed form, then corrected by gradient.

    The fit is the mean of several ridge regressions, which differ in the simple forecast that the penalty pulls them to
    and in how much less they trust old steps: on a short series no rule picks the best of them, and their mean beats
    most. The fitted part stays as it is; weight decay pulls the correction to zero, so to the fit and not to nothing.

    Args:
        window: W.
        horizon: h.

    Source:
        Lai et al. 2018 (LSTNet), section 3.5, for the linear path; fitting it first is ours. Bates and Granger 1969,
        "The combination of forecasts", for the mean.
    """

    def __init__(self, window: int, horizon: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.zeros(horizon, window))
        self.register_buffer("bias", torch.zeros(horizon))
        self.correction = nn.Linear(window, horizon)
        nn.init.zeros_(self.correction.weight)
        nn.init.zeros_(self.correction.bias)

    def forward(self, window: Tensor) -> Tensor:
        """Forecasts [B, h, Y] from windows [B, W, Y]; every target goes through the same map."""
        series = window.transpose(1, 2)  # [B, Y, W]
        fitted = nn.functional.linear(series, self.get_buffer("weight"), self.get_buffer("bias"))
        corrected: Tensor = fitted + self.correction(series)
        return corrected.transpose(1, 2)

    def fit(self, window: Tensor, truth: Tensor, unit: Tensor, *, season: int = 1) -> None:
        """Fits the closed-form part to examples; nothing changes where there are fewer than two whole ones.

        Args:
            window: [E, W, Y] in normalised units.
            truth: [E, h, Y] likewise; an example with a NaN is left out.
            unit: [E, 1, Y] what an error of one counts.
            season: steps in a season where `truth` is what the seasonal naive forecast leaves, else 1.
        """
        inputs, targets = (values.double().transpose(1, 2).flatten(0, 1) for values in (window, truth))
        weight = unit.double().flatten()
        whole = torch.isfinite(weight) & torch.isfinite(targets).all(dim=1)
        if whole.sum() < 2:
            return
        inputs, targets, weight = inputs[whole], targets[whole], weight[whole, None]
        steps, horizon = inputs.shape[1], targets.shape[1]
        starts = simple_forecasts(steps, horizon, season=season)  # [S, W, h]
        aims = (targets - inputs @ starts).transpose(0, 1).flatten(1)  # [E, S·h]
        lags = torch.arange(steps, 0, -1, dtype=torch.float64)
        slopes, constant = starts.mean(dim=0), torch.zeros(horizon, dtype=torch.float64)
        for reach in (lags**-decay for decay in DECAYS):
            fitted, level = solve_ridge(inputs * reach * weight, weight[:, 0], aims * weight)
            slopes = slopes + reach[:, None] * fitted.reshape(steps, -1, horizon).mean(dim=1) / len(DECAYS)
            constant = constant + level.reshape(-1, horizon).mean(dim=0) / len(DECAYS)
        self.get_buffer("weight").copy_(slopes.T)
        self.get_buffer("bias").copy_(constant)


def simple_forecasts(window: int, horizon: int, *, season: int) -> Tensor:
    """Simple forecasts as what they add to the seasonal naive one: linear maps of the window, float64 [S, W, h].

    With a season in the window: the seasonal naive forecast itself; the mean of the window's seasons, each moved to the
    level of the last one; the last value. Otherwise the first alone.

    Args:
        window: W.
        horizon: h.
        season: steps in a season, 1 for none.
    """
    naive, seasons = torch.zeros(window, horizon, dtype=torch.float64), window // season
    if season == 1 or not seasons:
        return naive.unsqueeze(0)
    last, mean, repeated = (torch.zeros_like(naive) for _ in range(3))
    last[-1] = 1
    steps = torch.arange(horizon)
    for first in range(window - season, window - seasons * season - 1, -season):
        mean[first + steps % season, steps] += 1 / seasons
        mean[first : first + season] -= 1 / (seasons * season)
    mean[-season:] += 1 / season
    repeated[window - season + steps % season, steps] = 1
    return torch.stack([naive, mean - repeated, last - repeated])


def solve_ridge(inputs: Tensor, constant: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Ridge regression whose penalty is chosen for each column of the targets by generalised cross-validation.

    The column that is not penalised is projected out; one eigendecomposition then gives every penalty's solution and
    score.

    Args:
        inputs: float64 [E, W].
        constant: float64 [E], the column that is not penalised: ones for an intercept, weights in a weighted fit.
        targets: float64 [E, h].

    Returns:
        Weights [W, h] and what multiplies the constant [h].

    Source:
        Golub, Heath and Wahba 1979, "Generalized cross-validation as a method for choosing a good ridge parameter".
    """
    energy = constant.square().sum()
    inputs_slope, targets_slope = constant @ inputs / energy, constant @ targets / energy
    rest, aims = inputs - constant[:, None] * inputs_slope, targets - constant[:, None] * targets_slope
    values, vectors = torch.linalg.eigh(rest.T @ rest)
    values = values.clamp(min=0)
    aimed = vectors.T @ (rest.T @ aims)  # [W, h]
    size = inputs.square().sum(dim=0).mean().clamp(min=1e-30)  # inputs that are all zero get weights of zero
    inverse = 1 / (values + PENALTIES[:, None] * size)  # [P, W]
    explained = (2 * inverse - values * inverse.square()) @ aimed.square()
    left = aims.square().sum(dim=0) - explained  # [P, h]
    freedom = len(inputs) - 1 - CAUTION * (values * inverse).sum(dim=1, keepdim=True)
    score = torch.where(freedom > 0, left / freedom.square(), torch.inf)
    weights = vectors @ (inverse[score.argmin(dim=0)].T * aimed)
    return weights, targets_slope - inputs_slope @ weights
