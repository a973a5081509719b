"""The train loop and what it needs."""
