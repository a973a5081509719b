"""Optuna studies: each command is a worker of one. Nothing else in the project imports optuna."""
