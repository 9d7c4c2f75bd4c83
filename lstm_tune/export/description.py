"""What travels with an exported graph: enough to feed it and to name its outputs without the bundle."""

from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from lstm_tune.bundle.files import Bundle
from lstm_tune.export.inputs import input_shapes

_INTERVALS = "not in this graph; the bundle's predict gives <target>_low and <target>_high"


def describe(bundle: Bundle) -> dict[str, Any]:
    """A graph's description, as JSON values.

    Returns:
        `name`, `version` of this package, `horizon`, `context_steps`, `inputs` (shape of each), `columns` (role to
        names, in the order of the last axes), `features` (covariates; a categorical one is fed as the index into its
        `categories`, -1 for any other value), `quantiles`, `frequency`, the rule for `missing` values, and where to get
        `intervals`: a graph leaves them out, as they need the whole history of a series.
    """
    preprocessing = bundle.preprocessing
    features = {"past": preprocessing.past, "known": preprocessing.known, "static": preprocessing.static}
    return {
        "name": bundle.name,
        "version": version("lstm-tune"),
        "horizon": bundle.design.horizon,
        "context_steps": bundle.network.context,
        "inputs": {name: ["batch", *shape] for name, shape in input_shapes(bundle).items()},
        "columns": asdict(preprocessing.columns),
        "features": {role: [asdict(feature) for feature in found] for role, found in features.items()},
        "quantiles": list(bundle.design.quantiles),
        "frequency": preprocessing.frequency.every,
        "missing": preprocessing.missing,
        "intervals": _INTERVALS if bundle.intervals else "none",
    }
