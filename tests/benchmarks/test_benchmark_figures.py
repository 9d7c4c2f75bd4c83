import json
import math
from pathlib import Path
from typing import Any

import pytest
from benchmarking import Figure, Finished, chosen_files, initialised, run, series_files
from file_figures import accuracy, by_file, claims, overtuning
from files import fitting_folds
from record import section, with_figures
from refits import Refits

from lstm_tune.spec.paths import RunPaths

INDEX = """usecase,name,file,task
univariate,a,univariate/a.csv,freq=MS;m=12;h=18
univariate,b,univariate/b.csv,freq=YS;m=1;h=6
panel,p,panel/p.parquet,series=3;m=4;h=8;official test = last h
sentiment,s,sentiment/s.csv,binary;acc
"""


def record(name: str = "a", **fields: Any) -> dict[str, Any]:
    """A run that chose the third trial, whose error on the test part is 1."""
    baselines = {"seasonal naive": 2.0, "Theta": 1.0, "ETS": 1.25, "ridge": 3.0}
    known = {"file": name, "seed": 0, "trials": 30, "ended": 30, "winner": 3, "members": None, "is_default": False}
    scores = {"test": 1.0, "default_test": 1.0, "best_test": 1.0, "best_validation": 0.5, "best_error": 0.1}
    return {**known, **scores, "expected": 1.1, "low": 0.9, "high": 1.3, "baselines": baselines, **fields}


def values(figures: list[Figure]) -> dict[str, float]:
    return {figure.name: figure.value for figure in reversed(figures)}


def test_index_gives_season_and_horizon_of_the_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.csv").write_text(INDEX)
    found = series_files(tmp_path, "univariate")
    assert [(file.name, file.season, file.horizon) for file in found] == [("a", 12, 18), ("b", 1, 6)]
    assert found[1].path == tmp_path / "univariate" / "b.csv"
    assert [file.name for file in chosen_files(found, ["b"])] == ["b"]
    assert series_files(tmp_path, "panel")[0].horizon == 8
    assert not series_files(tmp_path, "sentiment")


def test_benchmark_without_its_data_says_so(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"holds no MANIFEST\.csv\. Name the folder of test data with --data"):
        series_files(tmp_path, "univariate")


@pytest.mark.parametrize(("steps", "horizon", "folds"), [(36, 12, 1), (72, 12, 4), (60, 12, 3), (500, 12, 4)])
def test_folds_leave_a_horizon_to_train_on(steps: int, horizon: int, folds: int) -> None:
    assert fitting_folds(4, steps=steps, horizon=horizon) == folds


def test_accuracy_is_the_geometric_mean_over_files_of_ratios() -> None:
    records = [record("a", test=1.0), record("a", test=4.0), record("b", test=0.5)]
    found = values(accuracy(records))
    assert found["ours / seasonal naive, geometric mean"] == pytest.approx(0.5)  # sqrt(sqrt(0.5 * 2) * 0.25)
    assert found["ours / better of ETS and Theta, geometric mean"] == pytest.approx(1.0)  # sqrt(sqrt(1 * 4) * 0.5)
    assert [row["result"] for row in by_file(records)] == ["loss", "win"]


def test_overtuning_counts_runs_worse_than_the_default_and_says_by_how_much() -> None:
    ours = [record(test=1.0 + 1e-9), record(test=1.01), record(test=1.05), record(default_test=2.0)]
    found = values(overtuning([*ours, record(best_test=1.5)]))
    assert found["runs worse than the default configuration, % of 5 runs"] == 40
    assert found["runs worse by more than 2 %, %"] == 20
    assert found["the same for the best of the search, %"] == 20
    assert found["ours / default, geometric mean"] == pytest.approx((1.01 * 1.05 * 0.5) ** 0.2)


def test_claims_are_counted_where_there_are_any() -> None:
    stated = [record(test=1.0), record(test=1.2), record(test=2.0), record(low=None, high=None, expected=None)]
    found = values(claims(stated))
    assert found["expected / realised error, median"] == pytest.approx(1.1 / 1.2)
    assert found["test in the 80 % interval, % of 3 runs with one"] == pytest.approx(200 / 3)
    assert found["runs with an interval, %"] == 75
    assert math.isnan(values(claims([record(low=None, high=None)]))["test in the 80 % interval, % of 0 runs with one"])


def test_page_gets_the_last_figures(tmp_path: Path) -> None:
    figures = [Figure.at_most("error", 0.9, 0.85), Figure("runs", 3.0)]
    content = {"benchmark": "files", "made_at": "2026-11-22", "machine": "2 cores", "settings": {"trials": 30}}
    text = section({**content, "figures": [vars(figure) for figure in figures]})
    old = "### files\n\nold\n\n### start\n\nkept"
    page = with_figures(f"a\n<!-- figures: written by record.py -->\n{old}\n<!-- end of figures -->\nb\n", [text])
    kept = "### start\n\nkept\n\n<!-- end of figures -->\nb\n"
    assert f"| error | 0.9 | <= 0.85 | **not met** |\n| runs | 3 |  |  |\n\n{kept}" in page
    assert "old" not in page


def test_refit_for_a_comparison_is_the_run_s_own_final_training(tmp_path: Path) -> None:
    rows = [f"{step},{10 + 3 * math.sin(step / 2) + 0.1 * (step % 5):.4f}" for step in range(60)]
    (tmp_path / "sine.csv").write_text("\n".join(["step,y", *rows]) + "\n")
    overrides = ["search.trials=1", "training.max_epochs=4", "output.seeds=2", "resources.max_concurrent=1"]
    finished, _ = run(initialised(tmp_path / "sine.csv", tmp_path / "run"), overrides)
    assert finished.networks == 2
    assert Refits.of(finished).test_score(0) == pytest.approx(finished.last("test_scored")["score"], rel=1e-6)
    assert json.loads(RunPaths(finished.paths.root).verdict.read_text()) == Finished.read(finished.paths.root).verdict
