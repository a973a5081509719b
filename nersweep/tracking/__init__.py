"""Trackers: show the folders of runs, sweeps and studies in MLflow or TensorBoard."""
