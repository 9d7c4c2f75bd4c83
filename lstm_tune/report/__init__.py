"""Layer 6: the report of a run, one self-contained page or its pictures. Charts are Altair's, drawn by Vega-Lite."""
