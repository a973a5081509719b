"""From sentences to batches of pieces."""
