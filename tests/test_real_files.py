"""`lstm-tune init` on real files: what it writes can be searched as it is."""

import math
from pathlib import Path

import pytest

from lstm_tune.data.guessing import guess, render_experiment
from lstm_tune.data.reading import read_frame
from lstm_tune.spec.loading import load_experiment
from lstm_tune.tasks.assembly import assemble, corner
from lstm_tune.tasks.baselines import score_baseline

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
FILES = sorted(path for folder in ("univariate", "multivariate", "panel") for path in (SHARED / folder).glob("*.*"))


@pytest.mark.skipif(not FILES, reason="the data sets that may not be shipped are not on this machine")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_guessed_experiment_can_be_searched(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    found = guess(read_frame(str(path), folder=None), name=path.stem)
    assert found.season in (1, 4, 5, 7, 12, 24, 48, 52)
    file.write_text(render_experiment(found, path=str(path)))
    assert "#" in file.read_text()
    prepared = assemble(load_experiment(file), folder=tmp_path)
    for problem in prepared.task.problems(corner(prepared.space, largest=True)):
        assert problem.examples > 0
    score = score_baseline(prepared.task, "last value").score
    assert math.isfinite(score)
