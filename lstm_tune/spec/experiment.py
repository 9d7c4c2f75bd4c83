"""One experiment: what to learn, from which data, how to search, and where the result goes.

These models are the YAML file's form; `lstm_tune.spec.loading` reads them and `lstm-tune schema` publishes them.
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from lstm_tune.spec.errors import did_you_mean
from lstm_tune.spec.space import Dimension, parse_space

_DURATION = re.compile(r"^(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s)?$")
_FREQUENCY = re.compile(r"^[1-9]\d*(?:us|ms|s|m|h|d|w|mo|q|y|b)$")

METRICS: dict[str, Literal["minimize", "maximize"]] = {
    "mase": "minimize",
    "smape": "minimize",
    "mae": "minimize",
    "rmse": "minimize",
    "rmsse": "minimize",
    "wql": "minimize",
}
"""Metrics a forecast search may optimise, and their direction."""


SHARE_TOLERANCE = 0.021
"""How far n shares of a GPU may be from a whole one, so that 1/n may be written with two digits up to 0.17."""


def seconds(text: object) -> float:
    """The seconds in a duration: `90`, `30s`, `10m`, `1h30m`, `2d`.

    Raises:
        ValueError: it is not a duration, or not above zero.
    """
    if isinstance(text, int | float) and not isinstance(text, bool) and math.isfinite(text) and text > 0:
        return float(text)
    match = _DURATION.match(text) if isinstance(text, str) and text else None
    if match is None or not any(match.groups()):
        raise ValueError(f"must be a duration such as 30s, 10m or 1h30m, found {text!r}")
    days, hours, minutes, rest = (float(part or 0) for part in match.groups())
    total = days * 86_400 + hours * 3_600 + minutes * 60 + rest
    if total <= 0:
        raise ValueError(f"must be longer than nothing, found {text!r}")
    return total


def _names(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _frequency(value: object) -> object:
    if value in ("auto", "rows") or (isinstance(value, str) and _FREQUENCY.match(value)):
        return value
    raise ValueError(
        f"must be auto, rows, or a count and a unit such as 1h, 1d, 1b (business day), 1mo; found {value!r}"
    )


def _metric(name: str) -> str:
    if name not in METRICS:
        raise ValueError(f"must be a metric of this task, found '{name}'. {did_you_mean(name, METRICS)}")
    return name


_BUILT_IN = ("CPU", "GPU", "memory", "object_store_memory")


def _gpu_share(gpus: float | Literal["auto"]) -> float | Literal["auto"]:
    """Shares that leave nothing of a GPU unused. 0.33 is a third; 0.17, which is more than a sixth, is one too."""
    if gpus == "auto" or math.isclose(gpus, round(gpus), abs_tol=1e-6):
        return gpus
    count = round(1 / gpus) if gpus < 1 else 1
    if gpus < 1 and abs(gpus * count - 1) <= SHARE_TOLERANCE:
        return gpus
    nearest = "a whole number" if gpus > 1 else f"{1 / count:.4g} (1/{count})"
    unused = f"trials of {gpus:g} would leave {1 - gpus * int(1 / gpus):.2g} of each GPU unused. " if gpus < 1 else ""
    raise ValueError(
        f"must be a whole number or a share 1/n of a GPU, found {gpus:g}. {unused}The nearest is {nearest}"
    )


Names = Annotated[list[str], BeforeValidator(_names, json_schema_input_type=list[str] | str)]
Duration = Annotated[float, BeforeValidator(seconds, json_schema_input_type=float | str)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ForecastSpec(_Section):
    """What a forecasting model predicts."""

    kind: Literal["forecast"] = Field(description="the task; this release forecasts")
    horizon: int = Field(ge=1, description="steps to forecast")
    season: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="steps in a season; auto takes it from the frequency; 1 for none"
    )
    quantiles: list[Fraction] | None = Field(
        default=None, description="quantiles to forecast, 0.5 among them; omitted: a point forecast"
    )

    @model_validator(mode="after")
    def _quantiles_are_ordered(self) -> "ForecastSpec":
        levels = self.quantiles
        if levels is not None and (levels != sorted(set(levels)) or 0.5 not in levels):
            raise ValueError(f"quantiles must rise and contain 0.5, found {levels}")
        return self


class Covariates(_Section):
    """Columns that help to explain the target."""

    past: Names = Field(default=[], description="known up to the present only")
    known: Names = Field(default=[], description="known for the forecast steps too, such as holidays")
    static: Names = Field(default=[], description="one value a series")


class DataSpec(_Section):
    """Where the rows are and what their columns mean."""

    path: str = Field(
        description="CSV, Parquet, Arrow IPC or NDJSON; globs and s3://, gs://, az:// too; relative to the file"
    )
    time: str | None = Field(default=None, description="time column; null: the rows are in order, one step apart")
    target: Names = Field(min_length=1, description="column(s) to forecast")
    series: Names | None = Field(default=None, description="column(s) that name the series of a panel")
    covariates: Covariates = Covariates()
    missing: Literal["error", "interpolate", "forward", "mask"] = Field(
        default="error", description="what to do with missing values and missing time steps"
    )
    frequency: Annotated[str, BeforeValidator(_frequency)] = Field(
        default="auto", description="step of the time column: auto, 1h, 1d, 1b, 1mo ... or rows (each row is a step)"
    )

    @model_validator(mode="after")
    def _columns_have_one_role(self) -> "DataSpec":
        roles = [("time", [self.time] if self.time else []), ("target", self.target), ("series", self.series or [])]
        roles += [(f"covariates.{role}", getattr(self.covariates, role)) for role in ("past", "known", "static")]
        seen: dict[str, str] = {}
        for role, columns in roles:
            for column in columns:
                if column in seen:
                    raise ValueError(
                        f"column '{column}' is named as {seen[column]} and as {role}; a column has one role"
                    )
                seen[column] = role
        return self


class ValidationSpec(_Section):
    """Which targets judge a trial, and which are locked until the end."""

    test: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        default="auto", description="last steps of every series, locked until the winner is chosen; auto: the horizon"
    )
    folds: int = Field(default=4, ge=1, le=50, description="rolling-origin folds")
    block: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto",
        description="validation steps of one fold; auto: as many horizons as the history allows, up to 8",
    )
    gap: int = Field(default=0, ge=0, description="steps purged between training and validation targets")
    nested: bool = Field(
        default=False,
        description="repeat everything before each fold's block and judge it there: an estimate free of any choice",
    )
    groups: str | None = Field(default=None, description="not for forecasting: folds of a forecast follow time")

    @model_validator(mode="after")
    def _forecasts_have_no_groups(self) -> "ValidationSpec":
        if self.groups is not None:
            raise ValueError(
                "groups does not apply to forecasting, whose folds follow time; name the column in data.series"
            )
        return self


class SearchSpec(_Section):
    """How the space is searched and when the search ends."""

    trials: int = Field(default=64, ge=1, description="trials to run")
    time_limit: Duration | None = Field(
        default=None, description="end the search after this long: 30s, 10m, 1h30m; the final training comes after"
    )
    metric: Annotated[str, AfterValidator(_metric)] = Field(
        default="mase", description="mase, smape, mae, rmse, rmsse or wql"
    )
    sampler: Literal["tpe", "gp", "cmaes", "nsga2", "qmc", "random", "grid"] = Field(
        default="tpe", description="how the next configuration is proposed"
    )
    scheduler: Literal["asha", "hyperband", "median", "pbt", "none"] = Field(
        default="asha", description="how poor trials are stopped early"
    )
    seed: int = Field(default=0, ge=0, description="seed of everything random")
    stop_when_stale: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="stop after this many trials without an improvement beyond the noise"
    )


class AtMost(_Section):
    """An upper bound."""

    at_most: float = Field(gt=0)


class Constraints(_Section):
    """What a configuration must satisfy to be chosen."""

    parameters: AtMost | None = Field(default=None, description="free parameters of the network")
    gap: AtMost | None = Field(
        default=None, description="generalisation gap: validation over training metric, minus one"
    )


class TrainingSpec(_Section):
    """How long and in what portions a trial trains."""

    max_epochs: int = Field(default=200, ge=1)
    patience_epochs: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto",
        description="epochs without a better fold mean before a trial ends; auto: 20, or up to 60 where a"
        " pass over the windows takes more; 40 for one long series, 10 or 1.5 times the best epoch for a short one",
    )
    batch_size: int = Field(default=32, ge=1)
    steps_per_epoch: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        default="auto", description="optimiser steps of one epoch; auto: one pass over the windows, 50 steps at most"
    )


class ResourceSpec(_Section):
    """What one trial occupies, and what all of them may occupy together."""

    cpus_per_trial: float = Field(default=1, gt=0, description="CPU cores; a trial computes in as many threads")
    gpus_per_trial: Annotated[Annotated[float, Field(ge=0)] | Literal["auto"], AfterValidator(_gpu_share)] = Field(
        default="auto", description="whole GPUs or a share 1/n of one; auto: measured where the cluster has GPUs"
    )
    accelerator_type: str | None = Field(default=None, description="type of GPU, by Ray's name, such as A100")
    custom: dict[str, Annotated[float, Field(gt=0)]] = Field(
        default={}, description="other resources of the Ray cluster that a trial occupies, name and amount"
    )
    max_concurrent: Annotated[int, Field(ge=1)] | None = Field(default=None, description="trials at once, at most")
    max_gpus: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="GPUs that all trials together may occupy, so that others keep the rest"
    )
    wait: bool = Field(
        default=False, description="wait for nodes that an autoscaler may bring, where none could hold a trial now"
    )

    @model_validator(mode="after")
    def _requests_agree(self) -> "ResourceSpec":
        if wrong := sorted({name for name in self.custom if name in _BUILT_IN or ":" in name}):
            raise ValueError(f"custom names resources of your own, found {', '.join(wrong)}, which have keys of theirs")
        if self.accelerator_type and self.gpus_per_trial == 0:
            raise ValueError(f"accelerator_type asks for {self.accelerator_type}, but gpus_per_trial is 0")
        if self.max_gpus and self.gpus_per_trial != "auto" and self.gpus_per_trial > self.max_gpus:
            raise ValueError(
                f"max_gpus {self.max_gpus:g} is less than a trial's gpus_per_trial {self.gpus_per_trial:g}"
            )
        if self.wait and (self.gpus_per_trial == "auto" or self.max_concurrent is None):
            raise ValueError("wait needs numbers in gpus_per_trial and max_concurrent: nodes to come say nothing yet")
        return self


class OutputSpec(_Section):
    """Where runs go and how the final model is made."""

    directory: str = Field(
        default="runs",
        description="folder of runs, or an address (s3://, gs://, abfs://, hdfs://) that a copy of each is kept at; the"
        " run is then worked on in the folder runs",
    )
    finalists: int = Field(
        default=5,
        ge=1,
        description="best trials repeated with fresh seeds before one is chosen; 1: the chosen one alone, afterwards",
    )
    choice: Literal["one-se", "best"] = Field(
        default="one-se",
        description="one-se: the fewest parameters within one standard error of the best, if proven better than the"
        " default configuration, which stays otherwise; best: the best fold mean",
    )
    seeds: int = Field(default=3, ge=1, description="networks in the final model; their forecasts are averaged")
    ensemble: bool = Field(
        default=True,
        description="combine the finalists where that is proven better than any of them; with as many networks in all",
    )
    interval: Fraction = Field(
        default=0.8, description="share of true values that the interval around each forecast should hold"
    )


def _space(raw: object) -> object:
    """Accepts the mapping as written; `Experiment` turns it into dimensions once the task is known."""
    if raw is not None and not isinstance(raw, dict):
        raise ValueError(f"must be a mapping of hyperparameters, found {raw!r}")
    return raw


class Experiment(_Section):
    """A whole experiment file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80, description="names the run's folder")
    task: ForecastSpec
    data: DataSpec
    validation: ValidationSpec = ValidationSpec()
    search: SearchSpec = SearchSpec()
    space: Annotated[dict[str, Any] | None, BeforeValidator(_space)] = Field(
        default=None, description="omitted: derived from the number of effective windows of the data"
    )
    constraints: Constraints = Constraints()
    training: TrainingSpec = TrainingSpec()
    resources: ResourceSpec = ResourceSpec()
    output: OutputSpec = OutputSpec()

    @model_validator(mode="after")
    def _quantile_metrics_need_quantiles(self) -> "Experiment":
        if self.search.metric == "wql" and self.task.quantiles is None:
            raise ValueError("search.metric wql scores quantiles; add task.quantiles: [0.1, 0.5, 0.9]")
        return self

    def with_data(self, path: str) -> "Experiment":
        """The experiment on other data."""
        return self.model_copy(update={"data": self.data.model_copy(update={"path": path})})

    @property
    def dimensions(self) -> dict[str, Dimension] | None:
        """The search space, parents first; None when the file leaves it to the data."""
        if self.space is None:
            return None
        dimensions, faults = parse_space(self.space, task=self.task.kind)
        assert not faults, f"loading lets no faulty space through: {faults}"
        return dimensions

    @property
    def test_steps(self) -> int:
        """Length of the locked test part, in steps."""
        return self.task.horizon if self.validation.test == "auto" else self.validation.test

    @property
    def direction(self) -> Literal["minimize", "maximize"]:
        """Whether a smaller or a larger metric is better."""
        return METRICS[self.search.metric]
