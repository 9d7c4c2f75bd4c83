"""The JavaScript that draws the charts: Vega, Vega-Lite and Vega-Embed in one piece."""

import os
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import altair as alt
import vl_convert

from lstm_tune.spec.paths import write_atomically

VEGA_LITE = alt.SCHEMA_VERSION.removeprefix("v").rsplit(".", 1)[0]
"""Release of Vega-Lite that the specifications are written for."""


def vega_bundle() -> str:
    """JavaScript that defines `vegaEmbed`, to stand inside a script element.

    Bundling takes two seconds and always gives the same, so it is kept in the user's cache, one file for each release.
    A cache that cannot be read or written is done without.
    """
    kept = _cache() / f"vega-lite-{VEGA_LITE}-by-vl-convert-{version('vl-convert-python')}.js"
    with suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)
    bundle = bundle.replace("</script", "<\\/script")
    with suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, bundle)
    return bundle


def _cache() -> Path:
    """The user's folder for what can be made again."""
    folder = os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()
    return Path(folder) / "lstm-tune"
