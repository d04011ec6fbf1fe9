"""How good is it: metrics with intervals, baselines, significance, plots, report."""
