"""Layer 2: rows of a file (Polars) become a panel, folds, and tensors."""
