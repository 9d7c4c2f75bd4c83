from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.loading import dump_experiment, json_schema, load_experiment, parse_experiment
from lstm_tune.spec.space import Condition, Range

MINIMAL = """\
name: a
task: {kind: forecast, horizon: 3}
data: {path: x.csv, target: y}
"""

EXAMPLE = """\
name: air-passengers
task:
  kind: forecast
  horizon: 12
  season: 12
  quantiles: [0.1, 0.5, 0.9]
data:
  path: data/air_passengers.csv
  time: month
  target: passengers
  series: null
  covariates: {past: [], known: [], static: []}
  missing: interpolate
validation:
  test: 12
  folds: 4
  gap: 0
  groups: null
search:
  trials: 64
  time_limit: 10m
  metric: mase
  sampler: tpe
  scheduler: asha
  seed: 0
  stop_when_stale: 30
space:
  units:   {low: 8, high: 128, log: true}
  depth:   [1, 2, 3]
  dropout: {low: 0.0, high: 0.6}
  window:  [12, 24, 36]
  recurrent_dropout: {low: 0.0, high: 0.5, when: {units: {above: 16}}}
  learning_rate: {low: 1.0e-4, high: 3.0e-2, log: true}
constraints: {parameters: {at_most: 50000}, gap: {at_most: 0.5}}
training: {max_epochs: 200, patience_epochs: 20, batch_size: 32}
resources: {cpus_per_trial: 1, gpus_per_trial: auto, max_concurrent: null}
output: {directory: runs, finalists: 5, seeds: 3}
"""


def load(folder: Path, text: str, *overrides: str) -> Experiment:
    path = folder / "space.yaml"
    path.write_text(text, encoding="utf-8")
    return load_experiment(path, overrides)


def faults(folder: Path, text: str, *overrides: str) -> list[str]:
    """Each fault as the message shows it, the folder left out."""
    with pytest.raises(InputError) as caught:
        load(folder, text, *overrides)
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def test_example_is_read(tmp_path: Path) -> None:
    found = load(tmp_path, EXAMPLE)
    assert (found.task.horizon, found.data.target, found.search.time_limit) == (12, ["passengers"], 600)
    assert found.dimensions is not None
    assert found.dimensions["learning_rate"] == Range(1e-4, 3e-2, log=True)
    assert found.dimensions["recurrent_dropout"] == Range(0.0, 0.5, when=(Condition("units", "above", 16),))


def test_what_the_file_leaves_out_has_its_default(tmp_path: Path) -> None:
    found = load(tmp_path, MINIMAL)
    assert (found.test_steps, found.dimensions, found.direction) == (3, None, "minimize")


def test_every_fault_is_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = """\
name: a
task: {kind: forecast, horizon: 0}
data:
  path: x.csv
  targt: y
space:
  hiden_units: 3
  dropout:
    low: 0.9
    high: 0.1
serch: {}
"""
    assert faults(tmp_path, text) == [
        "space.yaml:2: task.horizon must be greater than or equal to 1, found 0",
        "space.yaml:3: data.target is missing; column(s) to forecast",
        "space.yaml:5: data.targt is not a key of an experiment. Did you mean 'target'?",
        "space.yaml:7: space.hiden_units is not a hyperparameter of task 'forecast'. Did you mean 'units'?",
        "space.yaml:8: space.dropout has its low end above its high end: low 0.9, high 0.1",
        "space.yaml:11: serch is not a key of an experiment. Did you mean 'search'?",
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("search: 3", "search must be a mapping of keys, found 3"),
        ("search: {trials: many}", "search.trials must be a whole number, found 'many'"),
        ("search: {trials: 1e2}", "search.trials must be a whole number, found 100.0"),
        ("search: {metric: mas}", "search.metric must be a metric of this task, found 'mas'. Did you mean 'mase'?"),
        ("search: {time_limit: 1:30}", "search.time_limit must be a duration such as 30s, 10m or 1h30m, found '1:30'"),
        ("validation: {test: some}", "validation.test must be a whole number or 'auto', found 'some'"),
        ("resources: {gpus_per_trial: -1}", "resources.gpus_per_trial must be greater than or equal to 0"),
        ("space: [1]", "space must be a mapping of hyperparameters, found [1]"),
        ("auto: 1", "auto is not a key of an experiment. Known: constraints, "),
        ("search: {int: 1}", "search.int is not a key of an experiment. Known: "),
        ("1: 2", "1 is not a key of an experiment. Known: "),
        ("space: {1: 2}", "space.1 is not a hyperparameter of task 'forecast'. Known: "),
        ("space: {units: .nan}", "space.units must be a whole number, found nan"),
        ("name: b", "name is written twice; keep one"),
    ],
)
def test_fault_is_told_with_its_line(tmp_path: Path, line: str, fault: str) -> None:
    (found,) = faults(tmp_path, f"{MINIMAL}{line}\n")
    assert found.startswith(f"space.yaml:4: {fault}")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "space.yaml:1: must be a mapping that starts with 'name:', found nothing"),
        ("- 1", "space.yaml:1: must be a mapping that starts with 'name:', found [1]"),
        ("name: a\n\ttask: b", "space.yaml:2: is not YAML: found character '\\t'"),
        ("name: [a", "space.yaml:1: is not YAML: "),
        ("name: a\n? [b]\n: 3", "space.yaml:2: is not YAML: found unhashable key"),
        ("name: a\x00", "space.yaml: is not YAML: unacceptable character"),
        ("name: !!python/object:os.system a", "space.yaml:1: is not YAML: could not determine a constructor"),
        ("name: &a [*a]", "space.yaml: must not hold an alias (*name) of a value that holds it"),
    ],
)
def test_text_that_is_no_mapping_is_told(tmp_path: Path, text: str, fault: str) -> None:
    (found,) = faults(tmp_path, text)
    assert found.startswith(fault)


def test_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        load_experiment(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="is a folder"):
        load_experiment(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        load_experiment(tmp_path / "latin.yaml")


@pytest.mark.parametrize(
    ("text", "value"), [("1e-4", 1e-4), ("1E-4", 1e-4), ("1.0e-4", 1e-4), (".5e-3", 5e-4), ("0.01", 0.01)]
)
def test_numbers_with_an_exponent_are_numbers(tmp_path: Path, text: str, value: float) -> None:
    found = load(tmp_path, f"{MINIMAL}space: {{learning_rate: {text}}}").dimensions
    assert found is not None
    assert found["learning_rate"].corners == (value, value)


def test_columns_that_look_like_dates_or_times_stay_text(tmp_path: Path) -> None:
    found = load(tmp_path, MINIMAL.replace("target: y", "target: [2020-01-01, 1:30]"))
    assert found.data.target == ["2020-01-01", "1:30"]


def test_override_replaces_and_adds_keys_and_the_later_wins(tmp_path: Path) -> None:
    overrides = (
        "search.trials=5",
        "search.trials=10",
        "space.units=[1, 2]",
        "data.target=[a, b]",
        "search.time_limit=1h",
    )
    found = load(tmp_path, MINIMAL, *overrides)
    assert (found.search.trials, found.space, found.data.target) == (10, {"units": [1, 2]}, ["a", "b"])
    assert found.search.time_limit == 3600


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("search.trials", "--set search.trials: must have the form key.path=value"),
        ("=3", "--set =3: must have the form key.path=value"),
        ("search..trials=3", "--set search..trials=3: must have the form key.path=value"),
        ("name.x=3", "--set name.x=3: goes below name, which is a single value"),
        ("space.units={low: 1", "--set space.units={low: 1: has a value that is not YAML"),
        ("search.trials=x", "--set search.trials=x: search.trials must be a whole number, found 'x'"),
        (
            "search.trails=1",
            "--set search.trails=1: search.trails is not a key of an experiment. Did you mean 'trials'?",
        ),
        ("space.units=0", "--set space.units=0: space.units must be at least 1, found 0"),
    ],
)
def test_faulty_override_is_told_with_the_option(tmp_path: Path, override: str, fault: str) -> None:
    (found,) = faults(tmp_path, MINIMAL, override)
    assert found.startswith(fault)


@pytest.mark.parametrize("text", [MINIMAL, EXAMPLE])
def test_written_experiment_is_read_back_as_it_was(tmp_path: Path, text: str) -> None:
    found = load(tmp_path, text)
    assert load(tmp_path, dump_experiment(found)) == found


@pytest.mark.parametrize("column", ["1e5", "1:30", "2020-01-01", "yes", "null", "0x10", "007", "Größe", "a: b", "12"])
def test_text_that_looks_like_something_else_survives_writing(tmp_path: Path, column: str) -> None:
    raw = yaml.safe_load(MINIMAL)
    raw["data"]["target"] = column
    found = parse_experiment(raw)
    assert load(tmp_path, dump_experiment(found)).data.target == [column]


def test_mapping_is_checked_like_a_file_and_left_alone() -> None:
    raw: dict[str, Any] = yaml.safe_load(MINIMAL)
    assert parse_experiment(raw, overrides=["search.trials=3"]).search.trials == 3
    assert "search" not in raw
    with pytest.raises(InputError, match=r"^here: task\.horizon must be a whole number, found 'x'$"):
        parse_experiment({**raw, "task": {"kind": "forecast", "horizon": "x"}}, where="here")


def schema_faults(text: str) -> list[str]:
    validator = jsonschema.Draft202012Validator(json_schema())
    return [error.json_path for error in validator.iter_errors(yaml.safe_load(text))]


def test_schema_is_valid_and_accepts_the_example() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    assert schema_faults(EXAMPLE) == []
    assert schema_faults(MINIMAL) == []


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("serch: {}", "$"),
        ("search: {trials: 0}", "$.search.trials"),
        ("space: {unit: 3}", "$.space"),
        ("space: {units: 0}", "$.space.units"),
        ("space: {units: {low: 1}}", "$.space.units"),
        ("space: {loss: l1}", "$.space.loss"),
        ("search: {time_limit: [1]}", "$.search.time_limit"),
    ],
)
def test_schema_refuses_what_loading_refuses(tmp_path: Path, line: str, path: str) -> None:
    assert schema_faults(f"{MINIMAL}{line}") == [path]
    assert len(faults(tmp_path, f"{MINIMAL}{line}")) == 1
