"""The command line: what was given, checked before anything starts."""
