"""Annotated text: one reader per format."""
