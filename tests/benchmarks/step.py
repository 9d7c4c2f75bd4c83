"""A training step of ours beside the bare kernel, and both as a share of what the processor can do.

The bare kernel is what one would write by hand for one series: windows cut in advance, `torch.nn.LSTM`, a linear head,
the mean absolute error, and torch's own fused AdamW. Ours gathers its batches from the flat series, scales, masks what
is missing, and is measured twice: with the same network and optimiser, and with all that a trial has by default (a
linear highway, a seasonal residual, windows centred on their last value, clipped gradients, averaged weights).
The three take turns, a slice of a second each, so that a busy machine is unfair to none of them.
"""

import argparse
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import torch
from benchmarking import Figure, Record, conclude, options, show
from made_tasks import made_task
from speed_figures import geometric_mean, step_gflop
from torch import nn

from lstm_tune.spec.hyperparameters import Value, completed
from lstm_tune.training.fold import FoldTrainer, Portions

HORIZON, SEASON, ROWS = 12, 12, 6_000
CPU = torch.device("cpu")
PLAIN: dict[str, Value] = {
    "highway": False,
    "seasonal_residual": False,
    "normalization": "none",
    "locked_dropout": False,
    "ema": 0.0,
    "gradient_clip": 0.0,
    "weight_decay": 0.0,
}
"""What makes our network the bare one."""


@dataclass(frozen=True)
class Point:
    """The size of a network and of its batches."""

    units: int
    depth: int
    window: int
    batch: int

    @property
    def gflop(self) -> float:
        return step_gflop(
            units=self.units, depth=self.depth, window=self.window, batch=self.batch, features=1, outputs=HORIZON
        )


POINTS = [
    Point(8, 1, 12, 32),
    Point(8, 1, 24, 16),
    Point(32, 1, 24, 32),
    Point(32, 2, 24, 32),
    Point(32, 1, 96, 64),
    Point(64, 1, 24, 32),
    Point(64, 2, 48, 64),
    Point(64, 3, 24, 128),
    Point(128, 1, 24, 32),
    Point(128, 2, 168, 32),
    Point(256, 1, 24, 512),
    Point(256, 3, 48, 64),
    Point(32, 1, 336, 32),
]
"""From what little data calls for to the largest that a core trains; not every combination, each value in several."""

Take = Callable[[int], None]


def ours(point: Point, extra: Mapping[str, Value]) -> Take:
    """Takes so many steps of our training."""
    shape = {"units": point.units, "depth": point.depth, "window": point.window, "dropout": 0.1}
    hyperparameters = completed({**shape, **extra}, task="forecast")
    problem = made_task(rows=ROWS, horizon=HORIZON, season=SEASON).problems(hyperparameters)[0]
    return FoldTrainer(problem, hyperparameters, Portions(point.batch), seed=0, device=CPU).train


def bare(point: Point) -> Take:
    """Takes so many steps of a loop written by hand."""
    series = torch.from_numpy(made_task(rows=ROWS, horizon=HORIZON, season=SEASON).sequences.target[:, 0])
    windows = ((series - series.mean()) / series.std()).unfold(0, point.window + HORIZON, 1)
    inputs, targets = windows[:, : point.window, None].contiguous(), windows[:, point.window :].contiguous()
    dropout = 0.1 if point.depth > 1 else 0.0
    lstm = nn.LSTM(1, point.units, point.depth, dropout=dropout, batch_first=True)
    head, drop = nn.Linear(point.units, HORIZON), nn.Dropout(0.1)
    optimizer = torch.optim.AdamW([*lstm.parameters(), *head.parameters()], lr=1e-3, weight_decay=0.0, fused=True)

    def take(steps: int) -> None:
        for _ in range(steps):
            chosen = torch.randint(0, len(inputs), (point.batch,))
            states, _ = lstm(inputs[chosen])
            loss = (head(drop(states[:, -1])) - targets[chosen]).abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return take


def milliseconds(takers: dict[str, Take], *, slices: int, slice_s: float) -> dict[str, float]:
    """The median time of a step of each, taking turns."""
    steps, found = {}, {name: list[float]() for name in takers}
    for name, take in takers.items():
        take(3)
        started = time.perf_counter()
        take(3)
        steps[name] = max(1, round(slice_s / ((time.perf_counter() - started) / 3)))
    for _ in range(slices):
        for name, take in takers.items():
            started = time.perf_counter()
            take(steps[name])
            found[name].append((time.perf_counter() - started) / steps[name] * 1e3)
    return {name: median(times) for name, times in found.items()}


def peak_gflops(sizes: Sequence[int] = (512, 1_024, 2_048), repeats: int = 5) -> float:
    """The fastest product of two square matrices, in 10**9 operations a second."""
    fastest = 0.0
    for size in sizes:
        a, b = torch.randn(size, size), torch.randn(size, size)
        for _ in range(repeats):
            started = time.perf_counter()
            a @ b
            fastest = max(fastest, 2 * size**3 / (time.perf_counter() - started) / 1e9)
    return fastest


def measure(point: Point, arguments: argparse.Namespace) -> Record:
    """One row."""
    takers = {"ours": ours(point, PLAIN), "by default": ours(point, {}), "bare": bare(point)}
    found = milliseconds(takers, slices=arguments.slices, slice_s=arguments.slice_s)
    peak = peak_gflops()
    shares = {f"{name}, % of peak": 100 * point.gflop / (found[name] / 1e3) / peak for name in ("ours", "bare")}
    times = {"ours, ms": found["ours"], "bare, ms": found["bare"], "by default, ms": found["by default"]}
    ratios = {"ours / bare": found["ours"] / found["bare"], "by default / bare": found["by default"] / found["bare"]}
    return {**vars(point), **times, **ratios, **shares, "peak GFLOP/s": peak}


def figures_of(rows: Sequence[Record]) -> list[Figure]:
    """The ratios in short; they have no targets of their own, the throughput has."""
    found = []
    for name in ("ours / bare", "by default / bare"):
        ratios = [row[name] for row in rows]
        found += [
            Figure(f"a step: {name}, geometric mean", geometric_mean(ratios)),
            Figure(f"{name}, worst", max(ratios)),
        ]
    best = max((row["ours, % of peak"] for row in rows), default=math.nan)
    return [*found, Figure("ours, % of the measured peak of a matrix product, best", best)]


def main() -> None:
    """The program."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    rows = [measure(point, arguments) for point in POINTS[: arguments.points]]
    show("a training step", list(rows[0]), [list(row.values()) for row in rows])
    settings = {"threads": arguments.threads, "slices": arguments.slices, "slice_s": arguments.slice_s}
    conclude("step", figures_of(rows), output=arguments.output, settings=settings, rows=rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="step.json")
    parser.add_argument("--points", type=int, default=len(POINTS), help="sizes to measure, from the first")
    parser.add_argument("--slices", type=int, default=7, help="turns of each")
    parser.add_argument("--slice-s", type=float, default=1.0, help="seconds of a turn")
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    return parser.parse_args()


if __name__ == "__main__":
    main()
