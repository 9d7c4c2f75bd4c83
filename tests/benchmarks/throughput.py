"""The same fixed work done by lstm-tune, by a plain loop, and by other tools: seconds, side by side.

Every contender trains the same configurations for the same number of steps on one real series and may use the machine
as it likes. They take turns, round after round, and medians are compared. The floor is plain PyTorch in two processes.
That ours is the same training is shown for three configurations: each loss of ours beside a loop written by hand.
"""

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import torch
from benchmarking import CONSOLE, ROOT, Figure, Record, add_data_option, conclude, options, show
from contenders import GRIDS, STEPS, Contender, prepared, timed
from our_work import experiment
from plain_loop import largest_difference
from speed_figures import Heard, phases, ratio_of_medians

from lstm_tune.spec.hyperparameters import completed
from lstm_tune.spec.loading import parse_experiment
from lstm_tune.tasks.assembly import assemble

SERIES = Path("univariate") / "taylor_demand.csv"
OURS, FLOOR, ON_RAY = "lstm-tune", "bare PyTorch", "NeuralForecast on Ray"

TARGETS = {24: {"floor": 1.35, ON_RAY: 4.0}, 200: {"floor": 1.10, ON_RAY: 8.0, "fastest": 3.0}}
"""Configurations to what is asked: ours over the floor at most, and rivals over ours at least."""

CHECKED = [
    {"units": 16, "depth": 1, "dropout": 0.1, "learning_rate": 0.01},
    {"units": 32, "depth": 2, "dropout": 0.4, "learning_rate": 0.001},
    {"units": 64, "depth": 1, "dropout": 0.1, "learning_rate": 0.01},
]
"""A deep network at a high rate is left out: a difference in the sixteenth digit grows tenfold every six steps."""

TOLERANCE = 1e-4


def contenders_of(arguments: argparse.Namespace) -> list[Contender]:
    """All whose environment is given; says who is left out."""
    ours = arguments.ours_python
    found = [
        Contender(FLOOR, ours, "bare.py", is_rival=False),
        Contender(OURS, ours, str(Path(__file__).with_name("our_work.py")), ("settings.json",), is_rival=False),
        Contender("Ray Tune's tutorial", ours, "raytune_naive.py"),
    ]
    others = [
        (ON_RAY, arguments.neuralforecast_python, "neuralforecast_.py", ("ray",)),
        ("NeuralForecast on Optuna", arguments.neuralforecast_python, "neuralforecast_.py", ("optuna",)),
        ("KerasTuner", arguments.keras_python, "keras_tuner_.py", ()),
        ("Darts on Optuna", arguments.darts_python, "darts_.py", ()),
    ]
    for name, python, script, extra in others:
        if python:
            found.append(Contender(name, str(Path(python).absolute()), script, extra))
        else:
            CONSOLE.print(f"left out: {name}, as no interpreter of its environment is named; see --help")
    wanted = arguments.only
    return [one for one in found if not wanted or any(word in one.name for word in wanted)]


def race(count: int, contenders: Sequence[Contender], arguments: argparse.Namespace) -> list[Record]:
    """All rounds of one size: a row a contender and round."""
    grid, values = GRIDS[count], pl.read_csv(arguments.data / SERIES)["y"].to_list()
    rows = []
    with TemporaryDirectory() as name:
        folder = Path(name)
        prepared(arguments.scripts, folder, grid, steps=arguments.steps, values=values)
        settings = {"grid": grid, "steps": arguments.steps, "trials": count}
        (folder / "settings.json").write_text(json.dumps(settings))
        for turn in range(arguments.rounds):
            for contender in contenders:
                if contender.is_rival and arguments.rival_rounds is not None and turn >= arguments.rival_rounds:
                    continue
                taken = timed(contender, folder)
                row = {"configurations": count, "contender": contender.name, "round": turn + 1, **vars(taken)}
                if contender.name == OURS:
                    row["phases"] = _phases(folder / "heard.json")
                rows.append(row)
                CONSOLE.print(f"{count}, round {turn + 1}: {contender.name} {taken.seconds:.1f} s", highlight=False)
    return rows


def _phases(heard: Path) -> dict[str, float]:
    content = json.loads(heard.read_text())
    slots = next(
        event["slots"]
        for event in map(json.loads, (Path(content["run"]) / "events.ndjson").read_text().splitlines())
        if event["event"] == "run_started"
    )
    return phases([Heard(*one) for one in content["heard"]], total_s=content["total_s"], slots=slots)


def seconds_of(rows: Sequence[Record], count: int, contender: str) -> list[float]:
    """What a contender took, by round."""
    return [row["seconds"] for row in rows if (row["configurations"], row["contender"]) == (count, contender)]


def figures_of(rows: Sequence[Record], count: int) -> list[Figure]:
    """Ratios of one size beside their targets; NaN where a contender was left out."""
    targets = TARGETS.get(count, {})
    ours = seconds_of(rows, count, OURS)
    ratio = ratio_of_medians(ours, seconds_of(rows, count, FLOOR))
    found = [_judged(f"{count} configurations: ours / {FLOOR}", ratio, targets.get("floor"), is_upper=True)]
    names = dict.fromkeys(row["contender"] for row in rows if row["contender"] not in (OURS, FLOOR))
    ratios = {name: ratio_of_medians(seconds_of(rows, count, name), ours) for name in names}
    for name, value in ratios.items():
        found.append(_judged(f"{count} configurations: {name} / ours", value, targets.get(name)))
    fastest = min(ratios.values(), default=math.nan)
    return [*found, _judged(f"{count} configurations: the fastest rival / ours", fastest, targets.get("fastest"))]


def _judged(name: str, value: float, bound: float | None, *, is_upper: bool = False) -> Figure:
    if bound is None or math.isnan(value):
        return Figure(name, value)
    return Figure.at_most(name, value, bound) if is_upper else Figure.at_least(name, value, bound)


def check_training(arguments: argparse.Namespace) -> list[Figure]:
    """How far the losses of ours are from a loop written by hand, for three configurations."""
    torch.set_num_threads(1)
    table, found = arguments.data / SERIES, list[Figure]()
    if not table.exists():
        raise SystemExit(f"{table} is missing. Name the folder of test data with --data")
    for wanted in CHECKED:
        grid = {name: [value] for name, value in wanted.items()}
        raw: dict[str, Any] = experiment(table, grid=grid, steps=arguments.steps, trials=1, directory=Path("runs"))
        prepared_data = assemble(parse_experiment(raw), folder=Path())
        fixed = {name: value for name, value in raw["space"].items() if name not in wanted}
        hyperparameters = completed({**fixed, **wanted}, task="forecast")
        difference = largest_difference(prepared_data.task, hyperparameters, batch=32, steps=arguments.steps)
        words = ", ".join(f"{name} {value:g}" for name, value in wanted.items())
        found.append(Figure.at_most(f"loss by hand and ours, largest difference: {words}", difference, TOLERANCE))
    return found


def show_race(rows: Sequence[Record], count: int) -> None:
    """Prints a size's medians, and where our time went."""
    names = dict.fromkeys(row["contender"] for row in rows)
    medians = [(name, *_medians(rows, count, name)) for name in names]
    show(f"{count} configurations", ("contender", "rounds", "s, median", "whole command, s"), medians)
    parts = [row["phases"] for row in rows if row["configurations"] == count and "phases" in row]
    if parts:
        middle = {part: median(one[part] for one in parts) for part in parts[0]}
        show(f"{count} configurations: where our time goes", ("part", "s, median"), list(middle.items()))


def _medians(rows: Sequence[Record], count: int, name: str) -> tuple[int, float, float]:
    taken = [row for row in rows if (row["configurations"], row["contender"]) == (count, name)]
    return len(taken), median(row["seconds"] for row in taken), median(row["command_s"] for row in taken)


def main() -> None:
    """The program."""
    arguments = _arguments()
    contenders, rows, figures = contenders_of(arguments), list[Record](), check_training(arguments)
    for count in arguments.configurations:
        raced = race(count, contenders, arguments)
        show_race(raced, count)
        rows += raced
        figures += figures_of(raced, count)
    names = ("configurations", "rounds", "rival_rounds", "steps")
    settings = {name: getattr(arguments, name) for name in names}
    conclude("throughput", figures, output=arguments.output, settings=settings, rows=rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="throughput.json")
    add_data_option(parser)
    parser.add_argument(
        "--scripts", type=Path, default=ROOT.parent / "shared" / "bench", help="the contenders' scripts"
    )
    parser.add_argument("--configurations", nargs="+", type=int, default=[24, 200], choices=list(GRIDS), help="sizes")
    parser.add_argument("--rounds", type=int, default=3, help="turns of everybody")
    parser.add_argument(
        "--rival-rounds", type=int, help="turns of the rivals, where they take long; as many by default"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="optimiser steps of a configuration")
    parser.add_argument("--only", nargs="+", help="words in the names of the contenders wanted")
    parser.add_argument("--ours-python", default=sys.executable, help="has lstm-tune; for Ray Tune's tutorial too")
    parser.add_argument("--neuralforecast-python", help="has neuralforecast, ray[tune], optuna")
    parser.add_argument("--keras-python", help="has tensorflow-cpu, keras-tuner, tensorboard")
    parser.add_argument("--darts-python", help="has darts[torch], optuna")
    return parser.parse_args()


if __name__ == "__main__":
    main()
