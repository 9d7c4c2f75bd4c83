"""A large table: how long and how much memory it takes to load, and what each further worker adds.

The panel is generated, the same for the same size: many series, a target and four covariates of random digits, which do
not compress. Its size in memory is that of the frame that the product reads; loading is everything from the file to the
task that workers get. A worker's addition is the memory that only it has (USS) over that of an empty worker, which has
the same imports and a series of a few rows: once with the data at hand, once when both have trained for a moment.
Beside it stands the growth of what all workers share out among them (PSS), over that of empty ones.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from benchmarking import RESULTS, Figure, Record, conclude, options, show
from made_tasks import made_task
from processes import forget_peak, in_own_process, memory_of, peak_mb, resident_mb
from speed_figures import slope

from lstm_tune.data.reading import read_frame
from lstm_tune.search.cluster import running_ray
from lstm_tune.search.placement import Slot
from lstm_tune.search.worker import Order, TrialSettings, TrialWorker
from lstm_tune.spec.loading import parse_experiment
from lstm_tune.tasks.assembly import assemble, columns_of
from lstm_tune.training.fold import Patience, Portions

STEPS = 2_000
"""Rows of a series; a row group of the file holds `GROUP` series."""

GROUP = 100
COVARIATES = ("a", "b", "c", "d")
ROW_BYTES = 8 * (1 + len(COVARIATES)) + 1.5
"""Bytes of a row in the file: random digits, and times that repeat."""

HYPERPARAMETERS = {"units": 8, "window": 24}


def write_panel(path: Path, *, megabytes: float) -> int:
    """Writes the table a few series at a time; its number of rows."""
    series = max(2, round(megabytes * 1e6 / ROW_BYTES / STEPS))
    times = pa.array([datetime(2000, 1, 1) + timedelta(hours=step) for step in range(STEPS)], pa.timestamp("us"))
    writer = None
    for start in range(0, series, GROUP):
        names = [f"series-{number:06d}" for number in range(start, min(start + GROUP, series))]
        random = np.random.default_rng([0, start])
        level = np.sin(np.arange(STEPS) / 12)
        columns = {"series": pa.array(np.repeat(names, STEPS)).dictionary_encode()}
        columns["time"] = pa.chunked_array([times] * len(names)).combine_chunks()
        columns["y"] = pa.array(np.tile(level, len(names)) + 3 + random.random(len(names) * STEPS))
        columns |= {name: pa.array(random.random(len(names) * STEPS)) for name in COVARIATES}
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema, use_dictionary=["series", "time"])
        writer.write_table(table)
    assert writer is not None
    writer.close()
    return series * STEPS


def experiment(path: Path) -> Any:
    """The panel's question, with batches of 32 and five steps an epoch."""
    raw = {
        "name": "large",
        "task": {"kind": "forecast", "horizon": 12, "season": 24},
        "data": {
            "path": str(path),
            "time": "time",
            "target": "y",
            "series": "series",
            "covariates": {"past": list(COVARIATES)},
        },
        "validation": {"test": 12, "folds": 1},
        "search": {"metric": "mae"},
        "space": HYPERPARAMETERS,
    }
    return parse_experiment(raw)


def frame_mb(path: Path) -> float:
    """Size in memory of the frame that the product reads."""
    columns = columns_of(experiment(path).data)
    frame: pl.DataFrame = read_frame(str(path), folder=None, columns=columns.all, repeated=columns.repeated)
    return frame.estimated_size() / 1e6


def load(path: Path) -> Record:
    """Loads the panel in a fresh process: seconds, and the peak over what imports alone took."""
    checked, before = experiment(path), resident_mb()
    forget_peak()
    started = time.monotonic()
    prepared = assemble(checked, folder=Path())
    seconds = time.monotonic() - started
    held = [prepared.task.sequences.target, prepared.task.sequences.past]
    return {"load_s": seconds, "peak_mb": peak_mb() - before, "task_mb": sum(one.nbytes for one in held) / 1e6}


class Weighed(TrialWorker):
    """A worker that says what it weighs."""

    def weight(self) -> dict[str, float]:
        return memory_of()


def weigh_workers(path: Path | None, workers: int) -> list[Record]:
    """Weights of workers, one more in each row, before and after a trial of five steps; in a fresh process.

    Args:
        path: the panel; None for a series of a few rows, whose workers are the empty ones.
        workers: how many.
    """
    task = assemble(experiment(path), folder=Path()).task if path else made_task(rows=240, horizon=12, season=24)
    settings = TrialSettings("forecast", Portions(32, 5), 1, Patience(1), 0, frozenset(), None, 60.0, 1.0)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this module
    with TemporaryDirectory() as logs, running_ray(Path(logs)):
        shared, alive, rows = (ray.put(task), ray.put(settings)), list[Any](), list[Record]()
        for number in range(workers):
            alive.append(ray.remote(num_cpus=0)(Weighed).remote(*shared))
            loaded = _weight(alive[-1])
            alive[-1].begin.remote(Order(number, dict(HYPERPARAMETERS), Slot(1, 0)))
            report = ray.get(alive[-1].step.remote())
            assert report.outcome == "complete", report.reason + report.traceback
            trained = _weight(alive[-1])
            total = sum(_weight(one)["pss"] for one in alive)
            row = {"data": path.name if path else "a few rows", "worker": number + 1, "loaded_uss_mb": loaded["uss"]}
            rows.append({**row, "trained_uss_mb": trained["uss"], "all_pss_mb": total, "trial_s": report.seconds})
    return rows


def _weight(worker: Any) -> dict[str, float]:
    weight: dict[str, float] = ray.get(worker.weight.remote())
    return weight


def figures_of(loaded: Record, empty: Sequence[Record], rows: Sequence[Record]) -> list[Figure]:
    """Loading and workers beside their targets."""
    added = {
        name: fmean(row[name] for row in rows) - fmean(row[name] for row in empty)
        for name in ("loaded_uss_mb", "trained_uss_mb")
    }
    return [
        Figure("seconds from the file to the task", loaded["load_s"]),
        Figure.at_most("loading: peak / size in memory", loaded["peak_mb"] / loaded["frame_mb"], 2.5),
        Figure("task's arrays / size in memory", loaded["task_mb"] / loaded["frame_mb"]),
        Figure.at_most("a worker with the data over an empty one, MB of its own", added["loaded_uss_mb"], 60),
        Figure.at_most("the same when both have trained, MB of its own", added["trained_uss_mb"], 60),
        Figure("the same, MB shared out among all", _growth(rows) - _growth(empty)),
    ]


def _growth(rows: Sequence[Record]) -> float:
    """What each further worker adds to what all share out."""
    return slope([row["worker"] for row in rows], [row["all_pss_mb"] for row in rows])


def main() -> None:
    """The program."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    path = arguments.folder / f"panel-{arguments.megabytes:g}.parquet"
    rows = in_own_process(_written, path, arguments.megabytes)
    loaded: Record = {"rows": rows, "file_mb": path.stat().st_size / 1e6, "frame_mb": in_own_process(frame_mb, path)}
    loaded |= in_own_process(load, path)
    show("loading", list(loaded), [list(loaded.values())])
    empty, weights = (in_own_process(weigh_workers, one, arguments.workers) for one in (None, path))
    show("workers", list(empty[0]), [list(row.values()) for row in [*empty, *weights]])
    settings = {"megabytes": arguments.megabytes, "workers": arguments.workers}
    figures = figures_of(loaded, empty, weights)
    conclude("data_memory", figures, output=arguments.output, settings=settings, rows=[loaded, *empty, *weights])


def _written(path: Path, megabytes: float) -> int:
    """Rows of the table, which is kept for the next time."""
    if not path.exists():
        unfinished = path.with_suffix(".unfinished")
        write_panel(unfinished, megabytes=megabytes)
        unfinished.rename(path)
    return int(pq.read_metadata(path).num_rows)


def _arguments() -> argparse.Namespace:
    parser = options((__doc__ or "").partition("\n")[0], output="data_memory.json")
    parser.add_argument("--megabytes", type=float, default=1_000.0, help="size of the Parquet file")
    parser.add_argument("--workers", type=int, default=4, help="workers to start, one after the other")
    parser.add_argument("--folder", type=Path, default=RESULTS / "data_memory", help="where the table is kept")
    return parser.parse_args()


if __name__ == "__main__":
    main()
