"""A finished model's scores beside the baselines', and what they say."""

from collections.abc import Sequence

from lstm_tune.display import formats
from lstm_tune.display.table import Cell, Column, table
from lstm_tune.display.text import ACCENT, BASELINE, BLANK, DIM, STRONG, Drawing, fit, labelled
from lstm_tune.selection.evaluation import Evaluation

MODEL = "the model"


def render_evaluation(evaluation: Evaluation, told: Sequence[str], *, width: int) -> Drawing:
    """The scores as a table, the best by the search's metric first, then sentences.

    Args:
        evaluation: the scores.
        told: what they say.
        width: cells a line.

    Returns:
        A rich renderable.
    """
    rows = {MODEL: evaluation.metrics, **evaluation.baselines}
    names = sorted(rows, key=lambda name: _order(rows[name][evaluation.metric]))
    metrics = [evaluation.metric, *(name for name in evaluation.metrics if name != evaluation.metric)]
    columns = [Column("", [Cell(name) for name in names], 0, right=False)]
    for place, metric in enumerate(metrics):
        values = [rows[name].get(metric) for name in names]
        decimals = formats.decimals(values)
        columns.append(Column(metric, [Cell(formats.score(value, decimals)) for value in values], place))
    lines = table(columns, [ACCENT if name == MODEL else BASELINE for name in names], width)
    notes = [line for text in told for line in labelled("", text, width, style=DIM)]
    return Drawing((((fit(_title(evaluation), width), STRONG),), BLANK, *lines, BLANK, *notes))


def _title(evaluation: Evaluation) -> str:
    part = "the test part" if evaluation.part == "test" else "new data"
    steps = "1 step" if evaluation.steps == 1 else f"{evaluation.steps:,} steps"
    series = f" of {evaluation.series:,} series" if evaluation.series > 1 else ""
    return f"{part}: {steps}{series}, {evaluation.first} to {evaluation.last}"


def _order(score: float) -> tuple[bool, float]:
    known = formats.finite(score)
    return known is None, known or 0.0
