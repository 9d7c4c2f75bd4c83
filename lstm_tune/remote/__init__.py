"""Runs as jobs on a Ray cluster: packed, submitted, watched, fetched, all of it through the Jobs API's one port."""
