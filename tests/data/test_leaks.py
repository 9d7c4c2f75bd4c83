from collections.abc import Callable

import numpy as np
import pytest

from lstm_tune.data.folds import split_panel
from lstm_tune.data.leaks import Leak, find_leaks
from lstm_tune.data.panel import Floats, Panel
from lstm_tune.data.sequences import prepare

PanelMaker = Callable[..., Panel]
HORIZON, SEASON = 3, 12
STEPS = 80


def leaks_of(panel: Panel) -> list[Leak]:
    fold = split_panel(panel.histories, horizon=HORIZON, folds=2, block=3, gap=0, test=3).test
    return find_leaks(prepare(panel, missing="mask"), fold, horizon=HORIZON, season=SEASON)


def walk(seed: int = 0, steps: int = STEPS) -> Floats:
    return (50 + np.random.default_rng(seed).normal(size=steps).cumsum()).astype(np.float32)


def moved(values: Floats, lag: int) -> Floats:
    """A column that follows the values by some steps, or runs ahead of them."""
    found = np.roll(values, lag)
    found[slice(lag, None) if lag < 0 else slice(0, lag)] = np.nan
    return found


@pytest.mark.parametrize(
    "column",
    [lambda y: y, lambda y: 7 - 3 * y, np.log, lambda y: y**3, lambda y: y + 1e-3 * walk(5)],
    ids=["target", "rescaled", "logarithm", "power", "almost"],
)
def test_known_covariate_that_is_the_target_is_found(panel_of: PanelMaker, column: Callable[[Floats], Floats]) -> None:
    (found,) = leaks_of(panel_of(walk(), known=column(walk())))
    assert (found.covariate, found.role, found.target, found.lag) == ("x0", "known", 0, 0)
    assert found.correlation > 0.999


@pytest.mark.parametrize(("role", "lag", "is_leak"), [("known", 2, True), ("known", 3, False), ("known", -1, True)])
def test_known_covariate_may_follow_the_target_by_a_horizon(
    panel_of: PanelMaker, role: str, lag: int, is_leak: bool
) -> None:
    found = leaks_of(panel_of(walk(), **{role: moved(walk(), lag)}))
    assert [leak.lag for leak in found] == ([lag] if is_leak else [])


@pytest.mark.parametrize(("lag", "is_leak"), [(0, False), (1, False), (-1, True), (-3, True)])
def test_past_covariate_may_not_run_ahead_of_the_target(panel_of: PanelMaker, lag: int, is_leak: bool) -> None:
    found = leaks_of(panel_of(walk(), past=moved(walk(), lag)))
    assert [(leak.role, leak.lag) for leak in found] == ([("past", lag)] if is_leak else [])


def test_series_are_compared_each_with_itself(panel_of: PanelMaker) -> None:
    one, other = walk(1, 40), walk(2, 30) + 1_000
    (found,) = leaks_of(panel_of(one, other, known=np.concatenate([one, other])))
    assert found.lag == 0
    assert not leaks_of(panel_of(one, other, known=np.concatenate([walk(3, 40), walk(4, 30) + 1_000])))


def test_rows_of_the_test_part_are_not_looked_at(panel_of: PanelMaker) -> None:
    known = walk(9)
    known[-3:] = walk()[-3:]
    assert not leaks_of(panel_of(walk(), known=known))


@pytest.mark.parametrize(
    ("target", "column"),
    [
        (np.arange(STEPS) + 0.01 * walk(), np.arange(STEPS)),
        (np.exp(0.1 * np.arange(STEPS)), np.arange(STEPS)),
        (np.sin(np.arange(STEPS) * np.pi / 6), np.sin(np.arange(STEPS) * np.pi / 6)),
        (walk(), (np.arange(STEPS) % 7 == 0).astype(float)),
        (walk(), walk() + walk(1)),
        (np.where(np.arange(STEPS) > 40, 5.0, 1.0), np.where(np.arange(STEPS) > 40, 1.0, 0.0)),
    ],
    ids=["common trend", "growth", "exact season", "holiday", "driver", "one jump"],
)
def test_covariates_that_a_forecast_may_have_are_not_suspected(
    panel_of: PanelMaker, target: Floats, column: Floats
) -> None:
    assert not leaks_of(panel_of(target, known=column))


def test_categories_are_not_compared(panel_of: PanelMaker) -> None:
    codes = (np.arange(STEPS) * 7 % 5).astype(np.float32)
    assert not leaks_of(panel_of(codes, known=codes, known_categories=[("a", "b", "c", "d", "e")]))
