"""Panels of a forecasting competition: `lstm-tune init` and `run` with ten minutes, beside published errors.

MASE here is the mean absolute error of a forecast over the mean absolute seasonal difference of the series' own steps
before the test part (season 12, 4 or 1), averaged over the test steps of all series. The seasonal naive and the Theta
method, by the package statsforecast, are scored by the same code, to show that it is the published quantity.
"""

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from benchmarking import (
    RESULTS,
    Figure,
    Record,
    add_data_option,
    conclude,
    initialised,
    options,
    run,
    series_files,
    show,
)
from refits import Refits

from lstm_tune.data.sequences import validation_examples
from lstm_tune.spec.loading import load_experiment
from lstm_tune.tasks.assembly import assemble
from lstm_tune.tasks.baselines import score_baseline_on_test
from lstm_tune.tasks.forecast import ForecastTask

TOLERANCE = 0.01
"""Relative difference from a published error that implementations of one method have."""


@dataclass(frozen=True)
class Panel:
    """A panel and its bars.

    Attributes:
        bound: the test error that is asked of us.
        published: published test errors, by method.
    """

    bound: float
    published: dict[str, float]


PANELS = {
    "m3_monthly": Panel(0.87, {"Theta": 0.864, "ETS": 0.865, "DeepAR": 1.167, "N-BEATS": 0.934}),
    "tourism_quarterly": Panel(
        1.50, {"seasonal naive": 1.699, "Theta": 1.661, "ETS": 1.592, "DeepAR": 1.597, "N-BEATS": 1.475}
    ),
    "m3_yearly": Panel(2.80, {"Theta": 2.774}),
}
"""Source: Godahewa et al. (2021), "Monash Time Series Forecasting Archive", table of MASE; tourism quarterly's seasonal
naive: Athanasopoulos et al. (2011), "The tourism forecasting competition"."""

BASELINES = ("last value", "seasonal naive", "drift", "ridge", "ETS")


def standard_theta(task: ForecastTask) -> float:
    """Test error of the plain Theta method, as published; our baseline of that name picks the best of four variants."""
    from statsforecast.models import Theta

    sequences, fold, horizon = task.sequences, task.split.test, task.design.horizon
    examples = validation_examples(sequences, fold, horizon=horizon)
    errors = []
    for origin, first in zip(examples.origins, examples.firsts, strict=True):
        history = sequences.target[first:origin, 0].astype(np.float64)
        truth = sequences.target[origin : origin + horizon, 0]
        season = task.design.season
        forecast = Theta(season_length=season).forecast(y=history, h=horizon)["mean"]
        scale = np.abs(history[season:] - history[:-season]).mean()
        errors.append(np.abs(forecast - truth).mean() / scale if scale > 0 else np.nan)
    return float(np.nanmean(errors))


def measured_baselines(task: ForecastTask, scored: Record) -> Record:
    """Test errors of the baselines, those of the run where it had time for them, and of the published Theta."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {name: scored.get(name) or score_baseline_on_test(task, name).score for name in BASELINES}
        best_theta = scored.get("Theta") or score_baseline_on_test(task, "Theta").score
        return {**found, "best of four Thetas": best_theta, "Theta": standard_theta(task)}


def check(name: str, arguments: argparse.Namespace) -> Record:
    """The panel's row: our test error, and the baselines'."""
    file = next(file for file in series_files(arguments.data, "panel") if file.name == name)
    space = initialised(file.path, arguments.folder / name)
    overrides = [f"task.horizon={file.horizon}", f"validation.test={file.horizon}"]
    overrides += [f"search.time_limit={arguments.time_limit:g}s", f"search.seed={arguments.seed}"]
    if arguments.baselines_only:
        task = assemble(load_experiment(space, overrides), folder=space.parent).task
        return {"panel": name, "baselines": measured_baselines(task, {})}
    finished, seconds = run(space, overrides)
    test, verdict = finished.last("test_scored"), finished.verdict
    row = {"panel": name, "test": test["score"], "run_s": round(seconds), "trials": len(finished.ends())}
    row |= {key: verdict[key] for key in ("expected", "low", "high", "naive", "advice")}
    return {**row, "baselines": measured_baselines(Refits.of(finished).task, test["baselines"])}


def figures_of(row: Record) -> list[Figure]:
    """Our error beside its bound, and the methods whose published error our code must reproduce."""
    name = row["panel"]
    panel, measured = PANELS[name], row["baselines"]
    found = [Figure.at_most(f"{name}: test MASE", row["test"], panel.bound)] if "test" in row else []
    for method in ("seasonal naive", "Theta"):
        if method in panel.published:
            published = panel.published[method]
            bounds = published * (1 - TOLERANCE), published * (1 + TOLERANCE)
            target = f"{published:g} published, within 1 %"
            is_met = bounds[0] <= measured[method] <= bounds[1]
            found.append(Figure(f"{name}: {method} by our code", measured[method], target, is_met))
    return found


def show_panel(row: Record) -> None:
    """Prints a panel's table: measured here, and published."""
    published = PANELS[row["panel"]].published
    measured = {"lstm-tune": row.get("test"), **row["baselines"]}
    methods = [*measured, *(method for method in published if method not in measured)]
    show(row["panel"], ("method", "measured", "published"), [(m, measured.get(m), published.get(m)) for m in methods])


def main() -> None:
    """The program."""
    arguments = _arguments()
    torch.set_num_threads(1)
    rows = []
    for name in arguments.panels:
        rows.append(check(name, arguments))
        show_panel(rows[-1])
    settings = {"time_limit_s": arguments.time_limit, "seed": arguments.seed}
    figures = [figure for row in rows for figure in figures_of(row)]
    conclude("panels", figures, output=arguments.output, settings=settings, rows=rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="panels.json")
    add_data_option(parser)
    parser.add_argument("--panels", nargs="+", choices=list(PANELS), default=list(PANELS), help="which panels")
    parser.add_argument("--time-limit", type=float, default=600.0, help="seconds of a search")
    parser.add_argument("--seed", type=int, default=0, help="seed of the search")
    parser.add_argument("--folder", type=Path, default=RESULTS / "panels", help="where the runs go")
    parser.add_argument("--baselines-only", action="store_true", help="search nothing; only score the baselines")
    return parser.parse_args()


if __name__ == "__main__":
    main()
