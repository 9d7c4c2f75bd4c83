"""Layer 5: what the trials add up to - their records, their tables, and the choice of a winner."""
