"""Sentences to batches of pieces."""
