"""Layer 6: Ray workers run the trials, Optuna proposes them. The only place where either is imported."""

import os

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_THRESHOLD_S": "60",
}
"""What Ray and Tune read at import, wherever in this package that comes first: no usage report, no files a trial, no
snapshots (events are the truth)."""

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)
