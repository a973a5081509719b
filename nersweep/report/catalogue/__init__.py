"""The catalogue of losses: `python -m nersweep.report.catalogue [FOLDER]` writes FOLDER/losses.md and its pictures."""
