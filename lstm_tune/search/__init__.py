"""Layer 6: Ray Tune runs the trials, Optuna proposes them. The only place where either is imported."""
