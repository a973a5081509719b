"""Heads: from word features to emissions, and from emissions to labels."""
