"""A bundle on disk: `manifest.json`, `preprocessing.json` and `weights.safetensors`. Nothing is pickled."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from lstm_tune.bundle.intervals import Intervals
from lstm_tune.data.building import Missing
from lstm_tune.data.panel import Columns, Feature, Frequency, category_counts
from lstm_tune.models.forecaster import Design, Ensemble, Forecaster, ForecastStatistics
from lstm_tune.spec.errors import BundleError
from lstm_tune.spec.hyperparameters import Value
from lstm_tune.spec.paths import RunPaths, write_json

FORMAT = 1
"""Version of the files; raised when an older release could not read them."""

MANIFEST, PREPROCESSING, WEIGHTS = "manifest.json", "preprocessing.json", "weights.safetensors"


@dataclass(frozen=True)
class Preprocessing:
    """How a table becomes the network's input.

    Attributes:
        columns: the roles of the columns.
        frequency: the step of the time column.
        missing: the rule for missing values.
        past: the past covariates; categories in the order of their codes.
        known: the known covariates.
        static: the static covariates.
    """

    columns: Columns
    frequency: Frequency
    missing: Missing
    past: tuple[Feature, ...] = ()
    known: tuple[Feature, ...] = ()
    static: tuple[Feature, ...] = ()


@dataclass(frozen=True)
class Member:
    """Where one network of a model comes from.

    Attributes:
        trial: the number of the trial that had its configuration.
        hyperparameters: one value for each of the task's.
    """

    trial: int
    hyperparameters: Mapping[str, Value]


@dataclass(frozen=True)
class Bundle:
    """A model and what is needed to use it.

    Attributes:
        name: the experiment's.
        network: the members, averaged; raw values in, forecasts in the user's units out.
        preprocessing: how a table becomes its input.
        members: where each network comes from, in their order.
        facts: scores, versions and whatever else is worth knowing; JSON values.
        intervals: of its forecasts; None where nothing could be calibrated.
    """

    name: str
    network: Ensemble
    preprocessing: Preprocessing
    members: tuple[Member, ...]
    facts: Mapping[str, Any]
    intervals: Intervals | None = None

    @property
    def design(self) -> Design:
        """What the task and the data fixed."""
        return self.network.design


def build_network(
    design: Design,
    preprocessing: Preprocessing,
    members: Sequence[Member],
    states: Sequence[Mapping[str, Tensor]],
    weights: Sequence[float],
) -> Ensemble:
    """The averaged network of some members, ready to predict.

    Args:
        design: what task and data fix.
        preprocessing: names the covariates.
        members: at least one.
        states: the weights inside each network.
        weights: share of each network's forecast.
    """
    statistics = ForecastStatistics.blank(
        targets=design.targets,
        past=category_counts(preprocessing.past),
        known=category_counts(preprocessing.known),
        static=category_counts(preprocessing.static),
    )
    networks = []
    for member, state in zip(members, states, strict=True):
        network = Forecaster(design, statistics, member.hyperparameters)
        network.load_state_dict(dict(state))
        networks.append(network)
    ensemble = Ensemble(networks, weights).requires_grad_(False)
    return ensemble.eval()


def write_bundle(bundle: Bundle, path: Path) -> None:
    """Writes a bundle's folder in one move; an older one at the same place is replaced."""
    manifest = {
        "format": FORMAT,
        "task": "forecast",
        "name": bundle.name,
        "members": [
            {"trial": member.trial, "weight": weight, "hyperparameters": dict(member.hyperparameters)}
            for member, weight in zip(bundle.members, bundle.network.weights, strict=True)
        ],
        "context_steps": bundle.network.context,
        "design": asdict(bundle.design),
        "intervals": asdict(bundle.intervals) if bundle.intervals else None,
        "facts": dict(bundle.facts),
    }
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        write_json(temporary / MANIFEST, manifest)
        write_json(temporary / PREPROCESSING, asdict(bundle.preprocessing))
        weights = {name: value.contiguous() for name, value in bundle.network.members.state_dict().items()}
        save_file(weights, temporary / WEIGHTS)
        (temporary / WEIGHTS).chmod(0o644)  # safetensors gives files to their owner alone
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


_DAMAGES = (OSError, SafetensorError, LookupError, AttributeError, TypeError, ValueError, RuntimeError)


def read_bundle(path: Path | str) -> Bundle:
    """A bundle from its folder, or from the folder of the run that made it.

    Raises:
        BundleError: there is none, a file is missing or damaged, or a newer release wrote it.
    """
    run = RunPaths(Path(path))
    folder = run.bundle if run.events.is_file() or run.bundle.is_dir() else run.root
    _check_files(folder, run)
    manifest = _read_json(folder / MANIFEST)
    found = manifest.get("format")
    if found != FORMAT:
        advice = "Install the release that wrote it, or a newer one"
        raise BundleError(f"{folder}: is a bundle of format {found}; this release reads format {FORMAT}. {advice}")
    preprocessing = _read_json(folder / PREPROCESSING)
    try:
        weights = load_file(folder / WEIGHTS)
        return _bundle(manifest, preprocessing, weights)
    except _DAMAGES as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).partition("\n")[0].rstrip(":")
        raise BundleError(f"{folder}: is a damaged bundle ({reason}). Copy it again, or export it anew") from None


def _bundle(manifest: dict[str, Any], raw: dict[str, Any], weights: dict[str, Tensor]) -> Bundle:
    design = Design(**{**manifest["design"], "quantiles": tuple(manifest["design"]["quantiles"])})
    preprocessing = Preprocessing(
        columns=_columns(raw["columns"]),
        frequency=Frequency(**raw["frequency"]),
        missing=raw["missing"],
        **{role: tuple(_feature(feature) for feature in raw[role]) for role in ("past", "known", "static")},
    )
    members = tuple(Member(member["trial"], member["hyperparameters"]) for member in manifest["members"])
    states = [
        {name.removeprefix(f"{i}."): value for name, value in weights.items() if name.startswith(f"{i}.")}
        for i in range(len(members))
    ]
    if any(int(name.partition(".")[0]) >= len(members) for name in weights):
        raise ValueError(f"{WEIGHTS} holds more networks than the {len(members)} that {MANIFEST} names")
    shares = [float(member["weight"]) for member in manifest["members"]]
    network = build_network(design, preprocessing, members, states, shares)
    intervals = _intervals(manifest.get("intervals"), design)
    return Bundle(manifest["name"], network, preprocessing, members, manifest["facts"], intervals)


def _intervals(raw: dict[str, Any] | None, design: Design) -> Intervals | None:
    """The intervals of a manifest, in which null stands for NaN."""
    if raw is None:
        return None
    reach = np.array(raw["reach"], dtype=np.float64)
    if reach.shape != (design.horizon, design.targets) or len(raw["floors"]) != design.targets:
        raise ValueError(f"intervals of shape {list(reach.shape)}")
    return Intervals.of(float(raw["level"]), reach, raw["floors"])


def _columns(raw: dict[str, Any]) -> Columns:
    return Columns(time=raw["time"], **{role: tuple(names) for role, names in raw.items() if role != "time"})


def _feature(raw: dict[str, Any]) -> Feature:
    return Feature(raw["name"], None if raw["categories"] is None else tuple(raw["categories"]))


def _check_files(folder: Path, run: RunPaths) -> None:
    if not run.root.exists():
        raise BundleError(f"{run.root}: does not exist. Name a bundle, or the run that made it")
    if folder == run.bundle and not folder.exists():
        raise BundleError(f"{run.root}: is a run without a model yet. Finish it: lstm-tune resume {run.root}")
    for name in (MANIFEST, PREPROCESSING, WEIGHTS):
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: holds no bundle ({name} is missing). Name a bundle, or the run that made it")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: cannot be read ({error}). Copy the bundle again, or export it anew") from None
    if not isinstance(value, dict):
        raise BundleError(f"{path}: must hold a JSON object. Copy the bundle again, or export it anew")
    return value
