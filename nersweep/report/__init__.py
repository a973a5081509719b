"""From finished runs to what a person reads: tables and pictures."""
