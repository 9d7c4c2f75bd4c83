"""Reading an experiment file: every fault at once, each with its line."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from lstm_tune.spec.errors import Fault, InputError, did_you_mean
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Hyperparameter
from lstm_tune.spec.space import parse_space

KeyPath = tuple[str | int, ...]


class _Loader(yaml.SafeLoader):
    """Safe YAML that reads 1e-4 as a number (YAML 1.1 wants 1.0e-4) and leaves dates and times (1:30) as text."""


class _Dumper(yaml.SafeDumper):
    """Quotes the text that `_Loader` would read as something else."""


_TAG = "tag:yaml.org,2002:"
for _reader_or_writer in (_Loader, _Dumper):
    _reader_or_writer.yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (f"{_TAG}timestamp", f"{_TAG}int")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    _reader_or_writer.add_implicit_resolver(
        f"{_TAG}int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*)$"), list("-+0123456789")
    )
    _reader_or_writer.add_implicit_resolver(
        f"{_TAG}float", re.compile(r"^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)$"), list("-+0123456789.")
    )


def load_experiment(path: Path | str, overrides: Sequence[str] = ()) -> Experiment:
    """The experiment a file describes.

    Args:
        path: the YAML file.
        overrides: `key.path=value` texts that replace or add keys, later ones winning; values are YAML.

    Returns:
        The checked experiment; `data.path` is still relative to the file.

    Raises:
        InputError: the file cannot be read, is not YAML, or breaks a rule; lists every fault with its line.
    """
    path = Path(path)
    text = _read(path)
    try:
        node = yaml.compose(text, Loader=_Loader)
        raw = _with_text_keys(_Loader(text).get_single_data())
    except yaml.YAMLError as error:
        raise InputError([_yaml_fault(path, error)]) from None
    except RecursionError:
        raise InputError.at(
            str(path), "must not hold an alias (*name) of a value that holds it. Write it out"
        ) from None
    if not isinstance(raw, dict) or not isinstance(node, yaml.MappingNode):
        raise InputError.at(f"{path}:1", f"must be a mapping that starts with 'name:', found {_shown(raw)}")
    lines: dict[KeyPath, str] = {}
    faults = _walk(node, (), path, lines)
    for override in overrides:
        _apply(raw, override, lines)
    faults += _check(raw, _Places(path, lines))
    if faults:
        raise InputError(faults)
    return Experiment.model_validate(raw)


def parse_experiment(raw: Mapping[str, Any], *, overrides: Sequence[str] = (), where: str = "experiment") -> Experiment:
    """The experiment a plain mapping describes, with the same checks as a file.

    Args:
        raw: what the YAML file would hold.
        overrides: `key.path=value` texts that replace or add keys.
        where: how messages call it.

    Raises:
        InputError: it breaks a rule; lists every fault.
    """
    copied: dict[str, Any] = _with_text_keys(raw)
    lines: dict[KeyPath, str] = {}
    for override in overrides:
        _apply(copied, override, lines)
    faults = _check(copied, _Places(Path(where), lines))
    if faults:
        raise InputError(faults)
    return Experiment.model_validate(copied)


def dump_experiment(experiment: Experiment) -> str:
    """The experiment as YAML that `load_experiment` reads back to an equal one."""
    return yaml.dump(experiment.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of an experiment file, for editors."""
    schema = Experiment.model_json_schema()
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    knobs = HYPERPARAMETERS["forecast"]
    schema["properties"]["space"] = {
        "type": ["object", "null"],
        "description": Experiment.model_fields["space"].description,
        "additionalProperties": False,
        "properties": {name: _knob_schema(knob) for name, knob in knobs.items()},
    }
    return schema


def _knob_schema(knob: Hyperparameter) -> dict[str, Any]:
    types = {"integer": "integer", "number": "number", "flag": "boolean", "name": "string"}
    value: dict[str, Any] = {"type": types[knob.kind]}
    if knob.names:
        value["enum"] = list(knob.names)
    if knob.minimum is not None:
        value["minimum"] = knob.minimum
    if knob.maximum is not None:
        value["maximum"] = knob.maximum
    when = {"type": "object"}
    forms: list[dict[str, Any]] = [value, {"type": "array", "items": value, "minItems": 1}]
    forms.append(_object_schema({"choices": {"type": "array", "items": value}, "when": when}, ["choices"]))
    forms.append(_object_schema({"value": value, "when": when}, ["value"]))
    if knob.kind in ("integer", "number"):
        ends = {"low": value, "high": value, "log": {"type": "boolean"}, "step": {"type": "number"}, "when": when}
        forms.append(_object_schema(ends, ["low", "high"]))
    return {"description": f"{knob.description} (default {knob.default})", "anyOf": forms}


def _object_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


class _Places:
    """Knows where in the file, or in which option, a key was written."""

    def __init__(self, path: Path, lines: Mapping[KeyPath, str]) -> None:
        self._path = path
        self._lines = lines

    def of(self, key: KeyPath) -> str:
        """The place of a key, or of the nearest key around it that was written."""
        for end in range(len(key), -1, -1):
            if key[:end] in self._lines:
                return self._lines[key[:end]]
        return str(self._path)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError.at(
            str(path), "does not exist. Name an experiment file, or write one: lstm-tune init data.csv"
        ) from None
    except IsADirectoryError:
        raise InputError.at(str(path), "is a folder, not an experiment file") from None
    except UnicodeDecodeError as error:
        raise InputError.at(str(path), f"is not text in UTF-8: {error.reason} at byte {error.start}") from None
    except OSError as error:
        raise InputError.at(str(path), f"cannot be read: {error.strerror}") from None


def _with_text_keys(value: Any) -> Any:
    """A copy whose keys are all text, so that `1:` or `on:` is told as an unknown key."""
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


def _yaml_fault(path: Path, error: yaml.YAMLError) -> Fault:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f"{path}:{mark.line + 1}" if mark else str(path)
    return Fault(where, f"is not YAML: {problem}. Check the indentation and quotes near here")


def _walk(node: yaml.Node, key: KeyPath, path: Path, lines: dict[KeyPath, str]) -> list[Fault]:
    """Notes the line of every key and returns a fault for each key written twice."""
    lines.setdefault(key, f"{path}:{node.start_mark.line + 1}")
    faults: list[Fault] = []
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            child = (*key, str(name.value))
            where = f"{path}:{name.start_mark.line + 1}"
            if child in lines:
                faults.append(Fault(where, f"{_dotted(child)} is written twice; keep one"))
            lines[child] = where
            faults += _walk(value, child, path, lines)
    elif isinstance(node, yaml.SequenceNode):
        for i, value in enumerate(node.value):
            faults += _walk(value, (*key, i), path, lines)
    return faults


def _apply(raw: dict[str, Any], override: str, lines: dict[KeyPath, str]) -> None:
    path, equals, text = override.partition("=")
    where = f"--set {override}"
    keys = path.strip().split(".")
    if not equals or not all(keys):
        raise InputError.at(where, "must have the form key.path=value, such as search.trials=10")
    try:
        value = _Loader(text).get_single_data()
    except yaml.YAMLError:
        raise InputError.at(where, f"has a value that is not YAML: {text!r}") from None
    place = raw
    for depth, key in enumerate(keys[:-1]):
        if place.get(key) is None:
            place[key] = {}
        if not isinstance(place[key], dict):
            raise InputError.at(where, f"goes below {'.'.join(keys[: depth + 1])}, which is a single value")
        place = place[key]
    place[keys[-1]] = value
    for known in [known for known in lines if known[: len(keys)] == tuple(keys)]:
        del lines[known]
    lines[tuple(keys)] = where


def _check(raw: dict[str, Any], places: _Places) -> list[Fault]:
    faults: list[Fault] = []
    try:
        Experiment.model_validate(raw)
    except ValidationError as error:
        faults = [_fault(details, raw, places) for details in _distinct(error.errors())]
    space, task = raw.get("space"), raw.get("task")
    kind = task.get("kind") if isinstance(task, dict) else None
    if isinstance(space, dict) and isinstance(kind, str) and kind in HYPERPARAMETERS:
        for path, problem in parse_space(space, task=kind)[1]:
            keys = ("space", *path.split("[")[0].split("."))
            faults.append(Fault(places.of(keys), f"space.{path} {problem}"))
    return sorted(faults, key=_line_of)


def _line_of(fault: Fault) -> int:
    line = fault.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0


_UNION_STEPS = {"int", "float", "str", "auto"}


def _distinct(errors: Iterable[Any]) -> list[Any]:
    """One error a key: a union reports each of its branches."""
    kept: dict[KeyPath, Any] = {}
    for error in errors:
        kept.setdefault(error["loc"] if error["type"] == "extra_forbidden" else _key(error["loc"]), error)
    return list(kept.values())


def _key(location: KeyPath) -> KeyPath:
    return tuple(step for step in location if not _is_union_step(step))


def _is_union_step(step: str | int) -> bool:
    return isinstance(step, str) and (
        step.startswith(("constrained-", "literal[", "list[", "function-")) or step in _UNION_STEPS
    )


def _fault(details: Any, raw: Mapping[str, Any], places: _Places) -> Fault:
    kind, context = details["type"], details.get("ctx", {})
    key = _key(details["loc"])
    if kind == "extra_forbidden":  # its last step is a key of the file, even where it is called `auto`
        key = (*_key(details["loc"][:-1]), details["loc"][-1])
    subject = _dotted(key)
    if kind == "extra_forbidden":
        hint = did_you_mean(str(key[-1]), _fields_at(key[:-1]))
        return Fault(places.of(key), f"{subject} is not a key of an experiment. {hint}")
    if kind == "missing":
        return Fault(places.of(key), f"{subject} is missing; {_purpose(key)}")
    if kind == "value_error":
        message = str(context["error"])
        place = places.of((*key, *message.split(maxsplit=1)[0].split(".")))
        return Fault(place, f"{subject} {message}" if message.startswith("must") else _prefixed(subject, message))
    found = _shown(details["input"])
    rule = details["msg"].split(" should ")[-1]
    if not rule.startswith("be "):
        return Fault(places.of(key), f"{subject} must {rule.partition(' after ')[0]}, found {found}")
    expected = rule.removeprefix("be ").removeprefix("a valid ")
    alternatives = " or 'auto'" if "auto" in _literals_at(key) and "auto" not in expected else ""
    return Fault(places.of(key), f"{subject} must be {_plain(expected)}{alternatives}, found {found}")


def _prefixed(subject: str, message: str) -> str:
    return f"{subject}: {message}" if subject else message


_PLAIN = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "dictionary": "a mapping",
}


def _plain(expected: str) -> str:
    if expected.startswith("dictionary or instance"):
        return "a mapping of keys"
    return _PLAIN.get(expected, expected)


def _model_at(key: KeyPath) -> type[BaseModel] | None:
    model: type[BaseModel] = Experiment
    for step in key:
        field = model.model_fields.get(str(step))
        nested = [kind for kind in (_annotations(field.annotation) if field else []) if _is_model(kind)]
        if not nested:
            return None
        model = nested[0]
    return model


def _annotations(annotation: Any) -> list[Any]:
    return [annotation, *getattr(annotation, "__args__", ())]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _fields_at(key: KeyPath) -> list[str]:
    model = _model_at(key)
    return list(model.model_fields) if model else []


def _literals_at(key: KeyPath) -> str:
    model = _model_at(key[:-1]) if key else None
    field = model.model_fields.get(str(key[-1])) if model else None
    return str(field.annotation) if field else ""


def _purpose(key: KeyPath) -> str:
    model = _model_at(key[:-1])
    field = model.model_fields.get(str(key[-1])) if model else None
    return field.description if field and field.description else "every experiment has it (lstm-tune init writes one)"


def _dotted(key: KeyPath) -> str:
    text = ""
    for step in key:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
