"""Optuna studies: each command is a worker of one. No other room imports optuna."""
