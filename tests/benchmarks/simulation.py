"""Claims beside a known truth: many configurations of equal skill, judged on blocks whose losses are drawn.

Choosing the best of them gains nothing, so the error to expect is the common one. The best one's own score is lower.
Skill, noise and correlation are set here, so the truth is known to the last digit.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from benchmarking import Figure, Record, conclude, options, show
from numpy.typing import NDArray

from lstm_tune.selection.estimates import bias_corrected
from lstm_tune.selection.out_of_fold import OutOfFold
from lstm_tune.selection.rules import DOUBT, DefaultTrial, one_standard_error, smallest

Floats = NDArray[np.float64]
TRUTH = 1.0
NORMAL_80 = 1.2816
"""Standard errors on both sides of a normal mean that hold 80 %."""

SURE = 3.0
"""Standard errors of a mean over searches beyond which it is not the truth."""


@dataclass(frozen=True)
class Case:
    """A world to simulate.

    Attributes:
        series: number of series.
        times: forecasts of each, over all folds.
        folds: folds that these are spread over.
        tests: forecasts of each series in the test part.
        shared: share of the losses' variance that all configurations have in common (hard and easy blocks).
        memory: correlation of neighbouring blocks of a series.
    """

    series: int
    times: int
    folds: int
    tests: int
    shared: float
    memory: float


CASES = {
    "one series, 16 blocks": Case(1, 16, 4, 2, 0.5, 0.0),
    "one series, 32 blocks": Case(1, 32, 4, 4, 0.5, 0.0),
    "one series, 32 dependent blocks": Case(1, 32, 4, 4, 0.5, 0.4),
    "one series, 32 unrelated blocks": Case(1, 32, 4, 4, 0.0, 0.0),
    "100 series, 4 blocks each": Case(100, 4, 4, 1, 0.5, 0.0),
}


def losses(case: Case, configurations: int, spread: float, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Losses of every configuration on all blocks, validation first [N, S, T], and on the test part [N, S, t]."""
    shape = case.series, case.times + case.tests
    common = _drawn(shape, case.memory, random)
    own = np.stack([_drawn(shape, case.memory, random) for _ in range(configurations)])
    noise = case.shared**0.5 * common + (1 - case.shared) ** 0.5 * own
    positive = np.exp(spread * noise - spread**2 / 2) * TRUTH  # log-normal with the mean of the truth
    return positive[..., : case.times], positive[..., case.times :]


def _drawn(shape: tuple[int, int], memory: float, random: np.random.Generator) -> Floats:
    """Standard normal values [S, T], each row an autoregression of the first order."""
    values = random.standard_normal(shape)
    for step in range(1, shape[1]):
        values[:, step] = memory * values[:, step - 1] + (1 - memory**2) ** 0.5 * values[:, step]
    return values


def out_of_fold(case: Case, validation: Floats) -> OutOfFold:
    """The losses as a search keeps them."""
    number = len(validation)
    series, steps = (index.ravel() for index in np.indices((case.series, case.times)))
    folds = steps * case.folds // case.times
    order = np.lexsort((steps, series, folds))
    sums = validation.reshape(number, -1)[:, order]
    return OutOfFold(
        np.arange(number), sums, np.ones_like(sums), folds[order].astype(np.int64), series[order], steps[order]
    )


def once(case: Case, configurations: int, spread: float, seed: int) -> Record:
    """One search: its claims, and the test error of its choice."""
    random = np.random.default_rng([seed, case.series, case.times])
    validation, test = losses(case, configurations, spread, random)
    oof = out_of_fold(case, validation)
    blocks = case.series * case.tests
    claim = bias_corrected(oof, finish=lambda ratio: ratio, rule=smallest, test_blocks=blocks, seed=seed, repeats=300)
    realised = float(test[int(np.argmin(validation.mean(axis=(1, 2))))].mean())
    low, high = claim.low or np.nan, claim.high or np.nan
    defaults, sizes = DefaultTrial(0, configurations - 1), np.ones(configurations, dtype=np.int64)
    return {
        "replaced": one_standard_error(oof, sizes, finish=lambda ratio: ratio, defaults=defaults).trial != 0,
        "naive": claim.naive,
        "corrected": claim.corrected,
        "test_inside": low <= realised <= high,
        "truth_inside": low <= TRUTH <= high,
        "truth_inside_naively": abs(claim.naive - TRUTH) <= NORMAL_80 * fold_error(case, validation),
    }


def fold_error(case: Case, validation: Floats) -> float:
    """Standard error of the best configuration's mean over its folds."""
    best = validation[int(np.argmin(validation.mean(axis=(1, 2))))]
    folds = [part.mean() for part in np.array_split(best, case.folds, axis=1)]
    return float(np.std(folds, ddof=1) / len(folds) ** 0.5)


def case_row(name: str, claims: Sequence[Record]) -> Record:
    """Means over all searches of a world, with their own standard errors."""
    row: Record = {"world": name, "searches": len(claims), "truth": TRUTH}
    for key in ("naive", "corrected"):
        values = np.array([claim[key] for claim in claims])
        row |= {key: float(values.mean()), f"{key} error": float(values.std(ddof=1) / len(values) ** 0.5)}
    return row | {key: 100 * float(np.mean([claim[key] for claim in claims])) for key in SHARES}


SHARES = ("test_inside", "truth_inside", "truth_inside_naively", "replaced")
"""What is true of some of the searches, in percent of them."""

COLUMNS = ("world", "searches", "truth", "naive", "naive error", "corrected", "corrected error", *SHARES)


def figures_of(rows: Sequence[Record]) -> list[Figure]:
    """The claims of each world beside its truth."""
    found = []
    for row in rows:
        name, inside = row["world"], row["truth_inside"]
        is_optimistic = row["naive"] < TRUTH - SURE * row["naive error"]
        found += [
            Figure(f"{name}: naive claim, truth 1", row["naive"], "too good", is_optimistic),
            Figure(f"{name}: corrected claim", row["corrected"]),
            Figure(f"{name}: truth in the stated 80 % interval, %", inside, ">= 80", inside >= 80),
            Figure(f"{name}: truth in the naive claim's interval, %", row["truth_inside_naively"]),
            Figure.within(f"{name}: tests in the stated 80 % interval, %", row["test_inside"], 70, 90),
        ]
        replaced = f"{name}: searches among equals that take one to be better than the defaults, %", row["replaced"]
        found.append(Figure(*replaced) if CASES[name].memory else Figure.at_most(*replaced, 100 * DOUBT))
    return found


def main() -> None:
    """The program."""
    arguments = _arguments()
    rows = []
    for name, case in CASES.items():
        claims = [once(case, arguments.configurations, arguments.spread, seed) for seed in range(arguments.repetitions)]
        rows.append(case_row(name, claims))
    show("known truth", COLUMNS, [[row[column] for column in COLUMNS] for row in rows])
    settings = {key: getattr(arguments, key) for key in ("configurations", "spread", "repetitions")}
    conclude("simulation", figures_of(rows), output=arguments.output, settings=settings, rows=rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="simulation.json")
    parser.add_argument("--configurations", type=int, default=50, help="configurations of equal skill")
    parser.add_argument("--spread", type=float, default=0.4, help="standard deviation of a block's log loss")
    parser.add_argument("--repetitions", type=int, default=200, help="searches of each world")
    return parser.parse_args()


if __name__ == "__main__":
    main()
