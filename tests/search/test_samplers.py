from pathlib import Path

import pytest
from search_setup import ended

from lstm_tune.search.proposals import grid
from lstm_tune.search.samplers import SAMPLERS, build_sampler
from lstm_tune.search.study import Study
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import SearchSpec
from lstm_tune.spec.space import Choice, Condition, Dimension, Fixed, Range, active

MIXED: dict[str, Dimension] = {
    "units": Range(4, 8),
    "dropout": Range(0.0, 0.4, step=0.1),
    "highway": Choice((True, False)),
    "window": Fixed(6),
}
CONDITIONAL: dict[str, Dimension] = {
    **MIXED,
    "recurrent_dropout": Choice((0.1, 0.2, 0.3), when=(Condition("units", "above", 5),)),
}


@pytest.mark.parametrize("space", [MIXED, CONDITIONAL], ids=["mixed", "conditional"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_proposes_different_valid_configurations(sampler: str, space: dict, tmp_path: Path) -> None:
    study = Study(
        tmp_path / "study.journal", name="s", space=space, sampler=sampler, seed=0, count_parameters=lambda values: 10
    )
    possible = [tuple(point.values()) for point in grid(space)]
    seen = []
    for i in range(15):
        proposal = study.propose()
        assert proposal is not None
        assert list(proposal.hyperparameters) == list(active(space, proposal.hyperparameters))
        assert any(tuple(proposal.hyperparameters.values()) == pytest.approx(point) for point in possible)
        seen.append(proposal.hyperparameters)
        state = "pruned" if i % 3 == 2 else "complete"
        study.report(proposal.trial, 1, float(proposal.hyperparameters["units"]))
        study.tell(ended(proposal.trial, state, float(proposal.hyperparameters["units"])))
    assert all(one not in seen[:i] for i, one in enumerate(seen))


def test_the_same_seed_proposes_the_same(tmp_path: Path) -> None:
    def proposed(name: str) -> list[object]:
        study = Study(tmp_path / name, name="s", space=MIXED, sampler="tpe", seed=3, count_parameters=lambda values: 10)
        return [study.propose() for _ in range(5)]

    assert proposed("one") == proposed("two")


def test_samplers_are_those_of_the_experiment_file() -> None:
    assert set(SAMPLERS) == set(SearchSpec.model_fields["sampler"].annotation.__args__)


def test_unknown_sampler_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"search\.sampler: 'tpee' is not a sampler\. Did you mean 'tpe'\?"):
        build_sampler("tpee", seed=0, conditional=False)
