"""The words and numbers of the page that are not in a chart."""

from dataclasses import dataclass

from lstm_tune.report.axes import spoken
from lstm_tune.report.facts import RunFacts

TONES = {"use the LSTM": "good", "prefer the baseline": "caution", "not proven": "open"}
"""Advice to the colour of the verdict."""

NONE = "-"
TOP = 10
"""Trials in the table."""


@dataclass(frozen=True)
class Tile:
    """One number that stands out.

    Attributes:
        label: what it is.
        value: as text.
        note: what to compare it with.
    """

    label: str
    value: str
    note: str


@dataclass(frozen=True)
class Head:
    """What the page begins with.

    Attributes:
        eyebrow: the kind of statement.
        headline: the one sentence to remember.
        findings: why, one a paragraph.
        tone: good, caution, open or bad.
    """

    eyebrow: str
    headline: str
    findings: list[str]
    tone: str


def head(facts: RunFacts) -> Head:
    """The verdict or, where there is none, what became of the run."""
    verdict, end = facts.story.verdict, facts.story.end
    if verdict and verdict.sentences:
        return Head("Verdict", verdict.sentences[0], verdict.sentences[1:], TONES.get(verdict.advice, "open"))
    if end and end.state == "failed":
        return Head("This run failed", end.message, [_progress(facts)], "bad")
    if end and end.state == "interrupted":
        return Head(
            "No verdict yet",
            "This run was interrupted before it came to its end.",
            [_progress(facts), end.message],
            "open",
        )
    return Head("No verdict yet", "This run has not come to its end.", [_progress(facts)], "open")


def _progress(facts: RunFacts) -> str:
    ended = sum(record.end is not None for record in facts.records.values())
    budget = f" of {facts.story.start.trials:,}" if facts.story.start else ""
    best = facts.ranked[0] if facts.ranked else None
    found = f" The best so far is trial {best.trial} with {facts.metric} {best.score:.4g}." if best else ""
    return f"{ended:,}{budget} trials ended.{found}"


def subtitle(facts: RunFacts) -> str:
    """Size of the data and of the search, and when it was."""
    start = facts.story.start
    if start is None:
        return ""
    better = "smaller" if start.direction == "minimize" else "larger"
    ended = sum(record.end is not None for record in facts.records.values())
    parts = [
        f"{start.metric}, {better} is better",
        _counted(start.series, "series", "series"),
        _counted(start.rows, "row", "rows"),
        _counted(ended, "trial", "trials"),
        f"{duration(facts.worked_s)} of work",
        start.started_at[:10],
    ]
    return " · ".join(parts)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def duration(seconds: float) -> str:
    """A time span in its two largest units: 45 s, 2 min 10 s, 1 h 5 min."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours:,} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def tiles(facts: RunFacts) -> list[Tile]:
    """The numbers that a reader looks for first, as far as the run has them."""
    found = [*_test_tiles(facts), *_expectation_tiles(facts), *_winner_tiles(facts)]
    verdict = facts.story.verdict
    if verdict and verdict.overfitting is not None:
        found.append(Tile("Backtest overfitting", f"{verdict.overfitting:.0%}", "probability that the choice was luck"))
    return found


def _test_tiles(facts: RunFacts) -> list[Tile]:
    test, verdict = facts.story.test, facts.story.verdict
    if test is None:
        return []
    name = verdict.baseline if verdict else min(test.baselines, key=lambda name: test.baselines[name], default="")
    note = f"{name} {test.baselines[name]:.4g}" if name in test.baselines else f"last {test.steps} steps"
    if test.low is not None and test.high is not None:
        note = f"80 % interval {test.low:.3g} to {test.high:.3g}; {note}"
    found = [Tile(f"Test {test.metric}", f"{test.score:.4g}", note)]
    if verdict and verdict.p_value is not None:
        found.append(Tile("p of the difference", f"{verdict.p_value:.2g}", f"paired test against {name}"))
    return found


def _expectation_tiles(facts: RunFacts) -> list[Tile]:
    verdict = facts.story.verdict
    if verdict is None or verdict.expected is None:
        return []
    has_interval = verdict.low is not None and verdict.high is not None
    note = f"80 % interval {verdict.low:.3g} to {verdict.high:.3g}" if has_interval else "no interval could be had"
    seen = f"; the search saw {verdict.naive:.4g}" if verdict.naive is not None else ""
    return [Tile("Expected on new data", f"{verdict.expected:.4g}", note + seen)]


def _winner_tiles(facts: RunFacts) -> list[Tile]:
    end = facts.records[facts.leader].end if facts.leader is not None else None
    if end is None or end.score is None:
        return []
    label = "Chosen trial" if facts.story.winner else "Best trial so far"
    found = [
        Tile(label, str(end.trial), f"{facts.metric} {end.score:.4g} in validation, {end.parameters:,} parameters")
    ]
    if end.gap is not None:
        found.append(Tile("Generalisation gap", f"{end.gap:+.0%}", "validation over training error"))
    return found


def trial_table(facts: RunFacts) -> list[list[str]]:
    """Head and rows of the best trials."""
    names = facts.searched
    rows = [["trial", facts.metric, "± SE", "gap", "epochs", "parameters", *names]]
    for end in facts.ranked[:TOP]:
        values = [spoken(end.hyperparameters[name]) if name in end.hyperparameters else NONE for name in names]
        error = f"{end.standard_error:.2g}" if end.standard_error is not None else NONE
        gap = f"{end.gap:+.0%}" if end.gap is not None else NONE
        mark = " (chosen)" if facts.story.winner and end.trial == facts.story.winner.trial else ""
        mark = mark or (" (stopped early)" if end.state == "pruned" else "")
        cells = [f"{end.trial}{mark}", f"{end.score:.4g}", error, gap, str(end.epochs), f"{end.parameters:,}"]
        rows.append([*cells, *values])
    return rows if len(rows) > 1 else []


def failures(facts: RunFacts) -> list[str]:
    """What became of trials that failed, one line each."""
    ends = (record.end for _, record in sorted(facts.records.items()) if record.end)
    return [f"Trial {end.trial}: {end.reason}" for end in ends if end.state == "failed"]


def environment(facts: RunFacts) -> list[list[str]]:
    """Versions, data and command line: name and value."""
    manifest = facts.manifest
    data = manifest.get("data", {})
    rows = [
        ["command", " ".join(manifest.get("command", []))],
        ["python", str(manifest.get("python", ""))],
        ["platform", str(manifest.get("platform", ""))],
        *([name, str(version)] for name, version in manifest.get("packages", {}).items()),
        ["seed", str(manifest.get("seed", ""))],
        *([f"data {name}", str(value)] for name, value in data.items()),
    ]
    return [row for row in rows if row[1]]


def looks(facts: RunFacts) -> list[str]:
    """Every look at the test part or at newer rows, one line each."""
    return [
        f"Look {look.get('look', '?')} at {look.get('part', 'test')}, {look.get('at', '?')}, by {look.get('by', '?')}:"
        f" {look.get('metric', 'score')} {_number(look.get('metrics', {}).get(look.get('metric')))}"
        for look in facts.ledger
    ]


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else NONE
