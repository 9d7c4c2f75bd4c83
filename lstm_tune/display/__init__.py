"""Layer 6: events become what a user sees, in a terminal, a pipe or a script. Knows nothing of the search."""
