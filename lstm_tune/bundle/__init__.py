"""Layer 4: the exported model - its files, and forecasts from it."""
