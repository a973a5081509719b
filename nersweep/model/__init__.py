"""The model: encoder, heads, tagger."""
