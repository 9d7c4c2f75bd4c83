"""Layer 3: training the folds of a trial in lockstep. Sees tasks through a protocol only."""
