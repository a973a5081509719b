"""How imbalanced a data set is, and which sweep to start with."""
