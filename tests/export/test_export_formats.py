import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from sample_bundles import SAMPLES, univariate
from torch import Tensor

import lstm_tune.bundle
from lstm_tune.bundle.files import Bundle, read_bundle, write_bundle
from lstm_tune.bundle.intervals import Intervals
from lstm_tune.export import formats
from lstm_tune.export.description import describe
from lstm_tune.export.formats import DESCRIPTION, FORMATS, export_bundle
from lstm_tune.export.graph import RawForecaster
from lstm_tune.export.inputs import Inputs, input_shapes
from lstm_tune.spec.errors import ExportError, InputError, LstmTuneError

NAN = float("nan")

Forecast = Callable[[Inputs], Tensor]


@pytest.fixture(scope="module", params=list(SAMPLES))
def sample(request: pytest.FixtureRequest) -> Bundle:
    return SAMPLES[request.param]()


@pytest.fixture(scope="module")
def written(sample: Bundle, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("export") / "made" / "when missing"
    return {name: export_bundle(sample, folder, format=name) for name in FORMATS}


def read_folder(path: Path) -> Forecast:
    network = RawForecaster(read_bundle(path).network)
    return lambda inputs: network(**inputs)


def read_program(path: Path) -> Forecast:
    module = torch.export.load(path).module()
    return lambda inputs: module(**inputs)


def read_onnx(path: Path) -> Forecast:
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda inputs: torch.from_numpy(session.run(None, {name: x.numpy() for name, x in inputs.items()})[0])


READERS = {"bundle": read_folder, "torch-export": read_program, "onnx": read_onnx}


def inputs_of(bundle: Bundle, size: int) -> Inputs:
    """Values between 1 and 3 (categories 1 and 2); the first example is left-padded, the last has a hole."""
    generator = torch.Generator().manual_seed(7)
    shapes = input_shapes(bundle)
    inputs = {name: 1 + 2 * torch.rand(size, *shape, generator=generator) for name, shape in shapes.items()}
    for name in set(shapes) & {"past", "known", "static"}:
        for column, feature in enumerate(getattr(bundle.preprocessing, name)):
            if feature.categories:
                inputs[name][..., column] = inputs[name][..., column].floor()
    for name in set(shapes) & {"target", "past", "known"}:
        inputs[name][0, :2] = NAN
        inputs[name][-1, 3] = NAN
    return inputs


# Loading a program uses a deprecated class of torch itself.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
@pytest.mark.parametrize("format", list(FORMATS))
def test_every_format_forecasts_as_the_bundle_for_any_batch_size(
    sample: Bundle, written: dict[str, Path], format: str
) -> None:
    forecast = READERS[format](written[format])
    for size in (1, 2, 8):
        inputs = inputs_of(sample, size)
        expected = RawForecaster(sample.network)(**inputs)
        assert expected.isfinite().all()
        torch.testing.assert_close(forecast(inputs), expected, rtol=1e-4, atol=1e-5)


def test_files_have_fixed_names_and_nothing_else_is_left(written: dict[str, Path]) -> None:
    assert {format: path.name for format, path in written.items()} == {
        "bundle": "bundle",
        "torch-export": "model.pt2",
        "onnx": "model.onnx",
    }
    folder = written["bundle"].parent
    assert {path.name for path in folder.iterdir()} == {"bundle", "model.pt2", "model.onnx"}


def test_onnx_graph_has_the_inputs_that_have_columns(sample: Bundle, written: dict[str, Path]) -> None:
    graph = onnx.load(written["onnx"]).graph
    shapes = {value.name: [axis.dim_param or axis.dim_value for axis in axes(value)] for value in graph.input}
    assert shapes == {name: ["batch", *shape] for name, shape in input_shapes(sample).items()}
    assert [value.name for value in graph.output] == ["forecast"]
    assert axes(graph.output[0])[0].dim_param == "batch"


def axes(value: Any) -> Any:
    return value.type.tensor_type.shape.dim


def test_onnx_graph_has_one_native_node_a_layer(sample: Bundle, written: dict[str, Path]) -> None:
    operations = [node.op_type for node in onnx.load(written["onnx"]).graph.node]
    layers = sum(int(member.hyperparameters["depth"]) for member in sample.members)
    assert operations.count("LSTM") == layers
    assert not {"Loop", "Scan", "If"} & set(operations)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_graphs_describe_themselves_alike(sample: Bundle, written: dict[str, Path]) -> None:
    texts = {prop.key: prop.value for prop in onnx.load(written["onnx"]).metadata_props}
    extra = {DESCRIPTION: ""}
    torch.export.load(written["torch-export"], extra_files=extra)
    description = json.loads(extra[DESCRIPTION])
    assert description["name"] == texts["name"] == "sample"
    assert description["context_steps"] == json.loads(texts["context_steps"]) == sample.network.context
    assert description["columns"] == json.loads(texts["columns"])
    assert set(texts) == set(description)
    assert description["intervals"] == "none"


def test_graph_of_a_bundle_with_intervals_says_where_they_are() -> None:
    bundle = replace(univariate(), intervals=Intervals(0.8, ((1.0,),) * 3, (None,)))
    assert describe(bundle)["intervals"].startswith("not in this graph; the bundle's predict gives <target>_low")


def test_graphs_hold_no_path_of_this_machine(written: dict[str, Path]) -> None:
    package = str(Path(lstm_tune.bundle.__file__).parents[1]).encode()
    for format in ("torch-export", "onnx"):
        content = written[format].read_bytes()
        assert package not in content
        assert str(Path(torch.__file__).parent).encode() not in content


def test_export_prints_nothing_and_loads_onnx_late(tmp_path: Path) -> None:
    write_bundle(univariate(), tmp_path / "best")
    script = """
import sys
from pathlib import Path
from lstm_tune.bundle.files import read_bundle
from lstm_tune.export.formats import export_bundle
assert not {"onnx", "onnxscript", "onnxruntime"} & set(sys.modules)
for format in ("torch-export", "onnx"):
    export_bundle(read_bundle(sys.argv[1]), Path(sys.argv[1]) / "export", format=format)
"""
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture(scope="module")
def foreign_graph(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return export_bundle(univariate(), tmp_path_factory.mktemp("foreign"), format="onnx").read_bytes()


def test_graph_that_forecasts_something_else_is_not_written(
    foreign_graph: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "build_onnx", lambda bundle: foreign_graph)
    (tmp_path / "model.onnx").write_text("old")
    with pytest.raises(ExportError, match=r"model.onnx: must forecast as the bundle does .*largest difference of \d"):
        export_bundle(univariate(seed=1), tmp_path, format="onnx")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_network_that_torch_cannot_export_is_an_export_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise ValueError("no such operation\nand much more")

    monkeypatch.setattr(torch.export, "export", refuse)
    with pytest.raises(ExportError, match=r"torch.export cannot express this model \(no such operation\)"):
        export_bundle(univariate(), tmp_path, format="torch-export")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_missing_package_names_the_command_that_installs_it(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(LstmTuneError, match=rf'found no {package}. .* pip install "lstm-tune\[onnx\]"'):
        export_bundle(univariate(), tmp_path, format="onnx")


def test_unknown_format_proposes_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--format: 'onx' is not a format\. Did you mean 'onnx'\?"):
        export_bundle(univariate(), tmp_path, format="onx")


def test_older_bundle_is_replaced(tmp_path: Path) -> None:
    export_bundle(univariate(seed=1), tmp_path, format="bundle")
    path = export_bundle(univariate(), tmp_path, format="bundle")
    inputs = inputs_of(univariate(), 3)
    assert torch.equal(read_folder(path)(inputs), RawForecaster(univariate().network)(**inputs))


def test_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "thesis.tex").touch()
    with pytest.raises(InputError, match="must be a bundle to be replaced"):
        export_bundle(univariate(), tmp_path, format="bundle")
    assert (tmp_path / "bundle" / "thesis.tex").exists()


@pytest.mark.parametrize("format", list(FORMATS))
def test_destination_that_is_a_file_is_refused(format: str, tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="taken: must be a folder, but is a file"):
        export_bundle(univariate(), tmp_path / "taken", format=format)


def test_destination_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="must be a folder this user may write to, found: Not a directory"):
        export_bundle(univariate(), tmp_path / "taken" / "below", format="bundle")
