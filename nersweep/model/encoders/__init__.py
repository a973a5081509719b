"""Encoders: from pieces to word features; pretrained ones, and one that is trained from scratch."""
