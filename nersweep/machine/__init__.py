"""The machine: devices, files, locks, databases, processes."""
