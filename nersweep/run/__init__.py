"""One run: plan it, execute it, write what it leaves."""
