"""MLflow as an index over the storage root: the only place that imports it."""
