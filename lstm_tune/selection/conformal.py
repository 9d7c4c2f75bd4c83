"""How far from a forecast the truth may lie, learned from the errors of out-of-fold forecasts.

Shape letters: E forecasts, h horizon, Y targets.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]

from lstm_tune.selection.out_of_fold import Floats

ERRORS_A_BLOCK = 2
"""Independent errors that the steps of one forecast are worth.

Intervals at level 0.8 around two simple baselines, calibrated on the other folds, held 82 % of a fold's truths with one
block in those, 80 % with two to four, 81 % with three in three folds, 80 to 82 % with more (28 single series), and 80 %
in nine panels; without a correction for few blocks 69, 75 and 77 % in the first three."""


def calibrated_reach(residuals: Sequence[Floats], level: float) -> Floats | None:
    """Half the width of the interval of each forecast step, by split-conformal calibration.

    The interval is symmetric around the point forecast - the median of a quantile model too - and its reach is the
    conformal quantile of the absolute residuals: of n the one of rank ceil((n + 1) * level). A step of the horizon has
    only as many residuals as there are blocks, often four, so those of all steps are pooled: each is divided by the
    mean absolute residual of its step, smoothed so that it never falls with the step (isotonic regression), and the
    quantile is multiplied by it again. Residuals of one forecast depend on each other and count as two independent
    ones: the reach grows by the ratio of Student's t quantile with so many degrees of freedom to the normal one, which
    goes to one with many blocks. With fewer residuals than the rank asks for the largest takes its place.

    Coverage is approximate: residuals of a time series are not exchangeable, later ones are often larger.

    Args:
        residuals: truth less forecast, in units of the series' seasonal error; float64 [E, h, Y] for each fold, NaN
            where unknown. The forecasts must not have seen the truth.
        level: share of truths that the interval should hold.

    Returns:
        Float64 [h, Y] in the same units, NaN for a target without residuals; None where there are none at all.

    Source: Vovk, Gammerman and Shafer (2005), "Algorithmic learning in a random world", chapter 2; Lei et al. (2018),
        "Distribution-free predictive inference for regression", section 2.2; Stankeviciute, Alaa and van der Schaar
        (2021), "Conformal time-series forecasting", for residuals by step of the horizon. Absolute residuals held as
        many truths as signed ones did and were more stable with few blocks.
    """
    errors = np.abs(np.concatenate(residuals)) if residuals else np.empty((0, 0, 0))
    if not np.isfinite(errors).any():
        return None
    return np.stack([_reach(errors[:, :, y], level) for y in range(errors.shape[2])], axis=1)


def _reach(errors: Floats, level: float) -> Floats:
    """The reach [h] of one target from absolute residuals [E, h]."""
    known = np.isfinite(errors)
    number, blocks = int(known.sum()), int(known.any(axis=1).sum())
    if not number:
        return np.full(errors.shape[1], np.nan)
    growth = _growth(errors, known)
    rank = min(int(np.ceil((number + 1) * level)), number)
    standard = np.partition((errors / growth)[known], rank - 1)[rank - 1]
    reach: Floats = growth * float(standard) * _few_blocks(min(ERRORS_A_BLOCK * blocks, number), level)
    return reach


def _growth(errors: Floats, known: NDArray[np.bool_]) -> Floats:
    """How the errors grow with the step, [h]: their mean, never falling; an unjudged step is as its neighbours."""
    counts = known.sum(axis=0)
    judged = np.flatnonzero(counts)
    means = np.where(known, errors, 0.0).sum(axis=0)[judged] / counts[judged]
    from scipy.optimize import isotonic_regression  # type: ignore[import-untyped] # a second at the start of a run

    smooth = isotonic_regression(means, weights=counts[judged]).x
    whole: Floats = np.interp(np.arange(len(counts)), judged, smooth)
    return np.maximum(whole, np.finfo(np.float64).tiny, out=whole)


def _few_blocks(freedom: int, level: float) -> float:
    """How much wider an interval from few independent residuals must be."""
    tail = (1 + level) / 2
    return float(special.stdtrit(freedom, tail) / special.ndtri(tail))


def coverage(residuals: Sequence[Floats], level: float) -> float | None:
    """Share of truths inside intervals that were calibrated on the other folds; None with one fold or no residuals.

    Args:
        residuals: as in `calibrated_reach`.
        level: as there.
    """
    inside = []
    for k, errors in enumerate(residuals):
        reach = calibrated_reach([*residuals[:k], *residuals[k + 1 :]], level)
        if reach is not None:
            known = np.isfinite(errors) & np.isfinite(reach)
            inside.append((np.abs(errors) <= reach)[known])
    found = np.concatenate(inside) if inside else np.empty(0)
    return float(found.mean()) if len(found) else None
