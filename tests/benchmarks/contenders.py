"""The same work for every contender: a folder with their scripts, all of which see one list of configurations.

The scripts are those of the shared folder `bench`, for 24 configurations. Another number of them means wider grids: the
list of `work.py` and the values that two scripts repeat as literals are replaced alike, and so is the number of steps
for a trial run.
"""

import math
import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

Grid = Mapping[str, Sequence[float]]

ORIGINAL: Grid = {"units": (16, 32, 64), "depth": (1, 2), "dropout": (0.1, 0.4), "learning_rate": (0.001, 0.01)}

GRIDS: dict[int, Grid] = {
    4: {"units": (16, 32), "depth": (1,), "dropout": (0.1, 0.4), "learning_rate": (0.01,)},
    24: ORIGINAL,
    200: {
        "units": (16, 24, 32, 48, 64),
        "depth": (1, 2),
        "dropout": (0.1, 0.2, 0.3, 0.4),
        "learning_rate": (0.001, 0.002, 0.003, 0.005, 0.01),
    },
}
"""Configurations to the values of each hyperparameter. Four are for trying the programs."""

STEPS = 200

LITERALS = {
    "units": ("(16, 32, 64)", "[16, 32, 64]"),
    "depth": ("(1, 2)", "[1, 2]"),
    "dropout": ("(0.1, 0.4)", "[.1, .4]"),
    "learning_rate": ("(1e-3, 1e-2)", "[1e-3, 1e-2]"),
}
"""How the scripts write the values of `ORIGINAL`."""

COUNTS = ("== 24", "max_trials=24", "num_samples=24")

LONGEST_S = 7_200.0


@dataclass(frozen=True)
class Contender:
    """One of those who do the work.

    Attributes:
        name: in tables.
        python: the interpreter of its environment.
        script: in the prepared folder.
        arguments: after the file of values.
        is_rival: whether it is neither ours nor the floor.
    """

    name: str
    python: str
    script: str
    arguments: tuple[str, ...] = ()
    is_rival: bool = True


@dataclass(frozen=True)
class Timed:
    """What a contender took.

    Attributes:
        seconds: by its own clock, which starts when everything is imported.
        command_s: of the whole command.
    """

    seconds: float
    command_s: float


def adapted(text: str, grid: Grid, *, steps: int) -> str:
    """A script with the values of a grid, the number of configurations and the steps in the place of its own."""
    for name, forms in LITERALS.items():
        for form in forms:
            text = text.replace(form, f"{form[0]}{', '.join(map(repr, grid[name]))},{form[-1]}")
    count = math.prod(map(len, grid.values()))
    for form in COUNTS:
        text = text.replace(form, form.replace("24", str(count)))
    return text.replace(f"24, 12, 32, {STEPS}", f"24, 12, 32, {steps}")


def prepared(scripts: Path, folder: Path, grid: Grid, *, steps: int, values: Sequence[float]) -> None:
    """Fills a folder with the adapted scripts and the file of values.

    Raises:
        SystemExit: the scripts are not there.
    """
    if not (scripts / "work.py").is_file():
        raise SystemExit(f"{scripts}: holds no work.py. Name the folder of the contenders' scripts with --scripts")
    for script in scripts.glob("*.py"):
        (folder / script.name).write_text(adapted(script.read_text(), grid, steps=steps))
    (folder / "values.txt").write_text("\n".join(map(repr, values)) + "\n")


def timed(contender: Contender, folder: Path) -> Timed:
    """Runs a contender in a prepared folder.

    Raises:
        SystemExit: it failed; the text is the end of what it said.
    """
    command = [contender.python, contender.script, "values.txt", *contender.arguments]
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "PYTHONWARNINGS": "ignore"}
    if contender.is_rival:
        environment.pop("PYTHONPATH", None)
    begun = time.monotonic()
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LONGEST_S, check=False
    )
    command_s = time.monotonic() - begun
    told = re.findall(r"^\S+ ([0-9.]+) s\b", result.stdout, re.MULTILINE)
    if result.returncode or not told:
        raise SystemExit(f"{contender.name} failed: {(result.stderr or result.stdout).strip()[-2_000:]}")
    return Timed(float(told[-1]), command_s)
