"""The environment of a job beside that of its submitter. Reads metadata alone, so it works where much is missing."""

import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping

MODULES = {
    "altair": "altair",
    "cmaes": "cmaes",
    "numpy": "numpy",
    "optuna": "optuna",
    "polars": "polars",
    "pyarrow": "pyarrow",
    "pydantic": "pydantic",
    "pyyaml": "yaml",
    "ray": "ray",
    "rich": "rich",
    "safetensors": "safetensors",
    "scipy": "scipy",
    "torch": "torch",
    "typer": "typer",
    "vl-convert-python": "vl_convert",
}
"""What lstm-tune depends on, and the module of each."""

OPTIONAL = ("statsforecast",)
"""What changes results where it is installed."""

COMPARED = ("torch", "ray", "optuna", "polars", "numpy")


def own_versions() -> dict[str, str]:
    """Python's version and those of what is installed here, without the part after a plus."""
    wanted = (*MODULES, *OPTIONAL)
    found = {name: importlib.metadata.version(name).split("+")[0] for name in wanted if _is_installed(name)}
    return {"python": platform.python_version(), **found}


def pins() -> list[str]:
    """Requirements that install here's versions elsewhere; Ray itself is the cluster's."""
    return [f"{name}=={version}" for name, version in own_versions().items() if name not in ("python", "ray")]


def missing_modules() -> list[str]:
    """What cannot be imported here, by the names that pip knows."""
    return [name for name, module in MODULES.items() if importlib.util.find_spec(module) is None]


def differences(submitter: Mapping[str, str]) -> list[str]:
    """Sentences about what is of another version here than where the job was submitted; the last number may differ."""
    here = own_versions()
    return [
        f"{name} is {here[name]} on the cluster and {submitter[name]} where the job was submitted"
        for name in ("python", *COMPARED)
        if name in here and name in submitter and _short(here[name]) != _short(submitter[name])
    ]


def _short(version: str) -> list[str]:
    return version.split(".")[:2]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
