"""Layer 1: what a user asks for, in checked values. Knows nothing of torch, Ray, Polars or Optuna."""
