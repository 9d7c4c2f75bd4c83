"""Samplers: name to Optuna sampler."""

import warnings
from collections.abc import Callable

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GPSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)

from lstm_tune.spec.errors import lookup

STARTUP_TRIALS = 10
"""Random trials before a model of the space is trusted (Optuna's default)."""

SAMPLERS: dict[str, Callable[[int, bool], BaseSampler]] = {
    "tpe": lambda seed, conditional: TPESampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, multivariate=True, group=conditional, constant_liar=True
    ),
    "gp": lambda seed, conditional: GPSampler(seed=seed, n_startup_trials=STARTUP_TRIALS),
    "cmaes": lambda seed, conditional: CmaEsSampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False
    ),
    "nsga2": lambda seed, conditional: NSGAIISampler(seed=seed, population_size=16),
    "qmc": lambda seed, conditional: QMCSampler(
        seed=seed, scramble=True, warn_independent_sampling=False, warn_asynchronous_seeding=False
    ),
    "random": lambda seed, conditional: RandomSampler(seed=seed),
    "grid": lambda seed, conditional: RandomSampler(seed=seed),  # the study queues the grid's points itself
}
"""Name to (seed, whether the space has conditions) -> sampler."""

FORGETFUL = frozenset({"tpe", "gp"})
"""Samplers that fit a model anew for each proposal and keep no state in trials, so that trials may be forgotten."""


def build_sampler(name: str, *, seed: int, conditional: bool) -> BaseSampler:
    """A sampler.

    Args:
        name: a key of `SAMPLERS`.
        seed: of its random numbers.
        conditional: whether hyperparameters may be switched off, which a multivariate TPE searches in groups.

    Raises:
        InputError: there is no such sampler.
    """
    build = lookup(SAMPLERS, name, what="sampler", where="search.sampler")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return build(seed, conditional)
