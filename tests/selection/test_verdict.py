import numpy as np
import pytest

from lstm_tune.selection.comparison import Comparison
from lstm_tune.selection.estimates import Estimate, Interval
from lstm_tune.selection.overfitting import Overfitting
from lstm_tune.selection.verdict import Findings, TestPart, compare_on_test, reach_verdict

BETTER, WORSE = Comparison(-0.2, -4.0, 0.001, 40), Comparison(0.2, 4.0, 0.001, 40)
UNCLEAR = Comparison(-0.1, None, None, 1)

BETWEEN = Interval(0.5, 0.7, "80 % interval 0.5 to 0.7")


def findings(*, expected: float = 0.6, test: TestPart | None = None, **changes: object) -> Findings:
    values: dict[str, object] = {
        "metric": "mase",
        "baseline": "ridge",
        "baseline_score": 0.8,
        "claim": Estimate(0.5, expected, 0.4, 0.9, 16, "by bootstrap"),
        "overfitting": None,
        "gap": 0.1,
        "test": test,
        "level": 0.8,
        "coverage": None,
    }
    return Findings(**{**values, **changes})  # type: ignore[arg-type]


def test_a_proven_lead_recommends_the_lstm() -> None:
    verdict = reach_verdict(findings(test=TestPart(0.6, 0.8, BETTER, BETWEEN)))
    assert verdict.advice == "use the LSTM"
    assert verdict.sentences[0] == "Use the LSTM: on the test part it is better than ridge, by more than chance."
    assert (
        "Expected mase on new data 0.6 (80 % interval 0.4 to 0.9, approximate); the search itself saw 0.5."
        in (verdict.sentences[1])
    )


@pytest.mark.parametrize(
    "found",
    [
        findings(test=TestPart(1.0, 0.8, WORSE, BETWEEN)),
        findings(test=TestPart(0.85, 0.8, UNCLEAR, BETWEEN)),
        findings(expected=0.85, test=TestPart(0.7, 0.8, UNCLEAR, BETWEEN)),
        findings(expected=0.85),
        findings(claim=None),
    ],
    ids=["worse on test", "behind on test", "behind in validation", "no test", "no estimate"],
)
def test_the_simpler_forecast_wins_unless_the_lstm_leads(found: Findings) -> None:
    verdict = reach_verdict(found)
    assert verdict.advice == "prefer the baseline"
    assert verdict.sentences[0] == "Do not use an LSTM here: ridge does as well or better, and is simpler."


def test_a_lead_that_chance_could_explain_is_not_proven() -> None:
    verdict = reach_verdict(findings(test=TestPart(0.7, 0.8, UNCLEAR, BETWEEN)))
    assert verdict.advice == "not proven"
    assert "too few blocks for a test of the difference" in verdict.sentences[2]


def test_the_test_score_has_its_interval_or_the_reason_why_not() -> None:
    told = reach_verdict(findings(test=TestPart(0.6, 0.8, BETTER, BETWEEN))).sentences[2]
    assert told.startswith("Test mase 0.6 (80 % interval 0.5 to 0.7); ridge, the best baseline")
    refused = Interval(None, None, "one forecast: no interval")
    told = reach_verdict(findings(test=TestPart(0.6, 0.8, UNCLEAR, refused))).sentences[2]
    assert told.startswith("Test mase 0.6 (one forecast: no interval); ridge")


def test_what_the_intervals_of_forecasts_held_is_said() -> None:
    told = reach_verdict(findings(level=0.9, coverage=0.853)).sentences[-1]
    assert told.startswith("The interval around each forecast is meant to hold 90% of true values; calibrated")
    assert told.endswith("it held 85%.")


def test_overfitting_of_the_network_and_of_the_search_is_said() -> None:
    verdict = reach_verdict(findings(gap=0.5, overfitting=Overfitting(0.7, "by halves")))
    assert "50% worse on validation than on training targets" in " ".join(verdict.sentences)
    assert "probability of backtest overfitting 70%" in " ".join(verdict.sentences)


def test_series_are_compared_as_clusters_and_blocks_in_time() -> None:
    own, other = np.linspace(0.5, 0.9, 20), np.linspace(0.9, 1.4, 20)
    assert compare_on_test(own, other, np.arange(20) // 2, seed=0).n == 10
    assert compare_on_test(own, other, np.zeros(20, int), seed=0).n == 20
    assert compare_on_test(own[:1], other[:1], np.zeros(1, int), seed=0).p_value is None


@pytest.mark.parametrize(("scores", "folds"), [((0.5, 0.7), "2 outer folds"), ((0.6,), "1 outer fold")])
def test_nested_estimate_stands_beside_the_claim(scores: tuple[float, ...], folds: str) -> None:
    told = reach_verdict(findings(nested=scores)).sentences
    assert told[2] == f"Nested estimate 0.6 over {folds}, each with a search of its own; the corrected claim was 0.6."
    assert not any("Nested" in sentence for sentence in reach_verdict(findings()).sentences)
