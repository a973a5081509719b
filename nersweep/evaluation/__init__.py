"""Scores, analysis and statistics."""
