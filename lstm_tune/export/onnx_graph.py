"""The graph as ONNX: a single file with native LSTM nodes. Its packages are optional, imported only when needed."""

import importlib
import json
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lstm_tune.bundle.files import Bundle
from lstm_tune.export.description import describe
from lstm_tune.export.graph import capture, export_errors, quiet
from lstm_tune.export.inputs import Inputs, input_shapes
from lstm_tune.spec.errors import ExportError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OUTPUT = "forecast"

_ONLY_ERRORS = 3


def require_packages() -> None:
    """Does nothing where the optional packages are there.

    Raises:
        ExportError: some are not; names the command that installs them.
    """
    missing = []
    with quiet():
        for name in PACKAGES:
            try:
                importlib.import_module(name)
            except ImportError:
                missing.append(name)
    if missing:
        problem = f"needs the packages {', '.join(PACKAGES)}, found no {', no '.join(missing)}"
        raise ExportError(f'format onnx: {problem}. Install them: pip install "lstm-tune[onnx]"')


def build_onnx(bundle: Bundle) -> bytes:
    """The content of an ONNX file; its metadata properties hold `describe`, all but texts as JSON.

    Raises:
        ExportError: an optional package is missing, or the network cannot be expressed.
    """
    require_packages()
    program = capture(bundle)
    names = list(input_shapes(bundle))
    with quiet(), export_errors("torch.onnx"):
        exported = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            input_names=names,
            output_names=[OUTPUT],
            dynamic_shapes={name: {0: "batch"} for name in names},
            external_data=False,
        )
        assert exported is not None
        return _finished(exported.model_proto, describe(bundle))


def _finished(model: Any, description: dict[str, Any]) -> bytes:
    """The serialised model with a description in place of the exporter's debugging notes, most of its size."""
    import onnx

    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    model.producer_name, model.producer_version = "lstm-tune", description["version"]
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in description.items()}
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def onnx_runner(content: bytes) -> Callable[[Inputs], Tensor]:
    """A function that runs an ONNX file's content in onnxruntime on one CPU core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ONLY_ERRORS
    options.intra_op_num_threads = 1
    with export_errors("onnxruntime"):
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(inputs: Inputs) -> Tensor:
        return torch.from_numpy(session.run([OUTPUT], {name: value.numpy() for name, value in inputs.items()})[0])

    return run
