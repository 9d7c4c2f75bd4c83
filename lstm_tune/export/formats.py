"""The forms a model can be written in: the bundle itself, a torch.export program, or an ONNX graph."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from lstm_tune.bundle.files import MANIFEST, PREPROCESSING, WEIGHTS, Bundle, write_bundle
from lstm_tune.export.agreement import check_agreement
from lstm_tune.export.description import describe
from lstm_tune.export.graph import capture, export_errors, quiet
from lstm_tune.export.inputs import Inputs
from lstm_tune.export.onnx_graph import build_onnx, onnx_runner
from lstm_tune.spec.errors import InputError, lookup
from lstm_tune.spec.paths import write_atomically

BUNDLE, PROGRAM, ONNX = "bundle", "model.pt2", "model.onnx"

DESCRIPTION = "description.json"
"""The extra file in a torch.export program that holds `describe`."""


def export_bundle(bundle: Bundle, destination: Path, *, format: str) -> Path:
    """Writes a model in another form, after checking that it forecasts as the bundle does.

    A graph takes raw values by name: `target` [batch, context, Y], `past` [batch, context, P], `known`
    [batch, context + horizon, K] and `static` [batch, M], those without a column left out; NaN stands where a value is
    missing or lies before a series' start. It returns forecasts in the user's units: [batch, horizon, Y] or, with
    quantiles, [batch, horizon, Y, Q].

    Args:
        bundle: the model.
        destination: the folder to write into; made when missing. An older export of the same format is replaced.
        format: a key of `FORMATS`.

    Returns:
        What was written: `<destination>/bundle` (a folder), `model.pt2` or `model.onnx`.

    Raises:
        InputError: there is no such format, or the folder cannot be written.
        ExportError: the graph cannot be made or says something else than the bundle; then nothing is written.
    """
    write = lookup(FORMATS, format, what="format", where="--format")
    if destination.exists() and not destination.is_dir():
        raise InputError.at(str(destination), "must be a folder, but is a file. Choose another")
    try:
        return write(bundle, destination.resolve())
    except OSError as error:
        problem = f"must be a folder this user may write to, found: {error.strerror or error}. Choose another"
        raise InputError.at(str(destination), problem) from None


def _write_folder(bundle: Bundle, destination: Path) -> Path:
    path = destination / BUNDLE
    if path.exists():
        _check_replaceable(path)
    destination.mkdir(parents=True, exist_ok=True)
    write_bundle(bundle, path)
    return path


def _check_replaceable(path: Path) -> None:
    """Refuses to replace a folder that holds anything but a bundle."""
    if path.is_dir() and {file.name for file in path.iterdir()} <= {MANIFEST, PREPROCESSING, WEIGHTS}:
        return
    problem = "must be a bundle to be replaced by one, but is or holds something else. Choose another folder"
    raise InputError.at(str(path), problem)


def _write_program(bundle: Bundle, destination: Path) -> Path:
    program, buffer = capture(bundle), io.BytesIO()
    with quiet(), export_errors("torch.export"):
        torch.export.save(program, buffer, extra_files={DESCRIPTION: json.dumps(describe(bundle))})
    content = buffer.getvalue()
    check_agreement(bundle, program_runner(content), what=PROGRAM)
    return _written(destination / PROGRAM, content)


def program_runner(content: bytes) -> Callable[[Inputs], Tensor]:
    """A function that runs the content of a torch.export program's file."""
    with quiet(), export_errors("torch.export"):
        module = torch.export.load(io.BytesIO(content)).module()
    return lambda inputs: module(**inputs)


def _write_onnx(bundle: Bundle, destination: Path) -> Path:
    content = build_onnx(bundle)
    check_agreement(bundle, onnx_runner(content), what=ONNX)
    return _written(destination / ONNX, content)


def _written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return path


Writer = Callable[[Bundle, Path], Path]

FORMATS: dict[str, Writer] = {"bundle": _write_folder, "torch-export": _write_program, "onnx": _write_onnx}
"""Format to the function that writes it."""
