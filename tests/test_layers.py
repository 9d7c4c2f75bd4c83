"""A lower layer never imports a higher one, siblings never import each other, and what is quick stays quick."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "lstm_tune"
LAYERS = [{"spec"}, {"data", "models"}, {"training", "tasks"}, {"bundle"}, {"selection", "export"}]
LAYERS += [{"search", "display", "report", "remote"}, {"cli"}]
LEVEL = {folder: level for level, folders in enumerate(LAYERS, start=1) for folder in folders}
HEAVY = {"torch", "ray", "polars", "optuna", "altair", "vl_convert"}
HOMES = {
    "altair": {"report"},
    "vl_convert": {"report"},
    "ray": {"search", "remote"},
    "optuna": {"search"},
    "rich": {"display", "cli"},
}


def imported(path: Path) -> set[str]:
    """Every module a file imports anywhere, also within functions."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}


IMPORTS = {str(path.relative_to(PACKAGE).with_suffix("")): imported(path) for path in PACKAGE.glob("*/*.py")}


def test_every_folder_has_a_layer() -> None:
    assert {name.split("/")[0] for name in IMPORTS} == set(LEVEL)


def test_modules_import_lower_layers_and_their_own_folder_only() -> None:
    wrong = []
    for module, names in IMPORTS.items():
        folder = module.split("/")[0]
        used = {name.split(".")[1] for name in names if name.startswith("lstm_tune.")} - {folder}
        wrong += [f"{module} imports {other}" for other in used if LEVEL[other] >= LEVEL[folder]]
    assert not wrong


def test_libraries_are_imported_where_they_belong() -> None:
    wrong = []
    for module, names in IMPORTS.items():
        folder, libraries = module.split("/")[0], {name.split(".")[0] for name in names}
        wrong += [f"{module} imports {library}" for library in libraries if folder not in HOMES.get(library, {folder})]
        if folder == "spec":
            wrong += [f"{module} imports {library}" for library in libraries & (HEAVY | {"rich"})]
    assert not wrong


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    graph = {f"lstm_tune.{module.replace('/', '.')}": names for module, names in IMPORTS.items()}
    assert list(TopologicalSorter(graph).static_order())  # a CycleError names the circle


PROBE = """
import sys
from lstm_tune.cli.main import main
try:
    main()
finally:
    print(sorted(sys.modules.keys() & {"torch", "ray", "polars", "optuna", "altair", "vl_convert"}))
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["run", "--help"], 0), (["schema"], 0), (["validate", "bad.yaml"], 2), (["run", "bad.yaml"], 2)],
)
def test_help_and_the_faults_of_a_file_load_nothing_heavy(tmp_path: Path, arguments: list[str], code: int) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\n")
    ended = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (code, "[]")
