"""One trial, many trials, searches, on Ray: the only place that imports `ray.tune` and Optuna."""
