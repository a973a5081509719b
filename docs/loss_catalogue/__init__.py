"""The catalogue of losses: `make docs` writes docs/losses.md and its pictures."""
