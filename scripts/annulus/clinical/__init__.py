"""Clinical variables as numbers that a model can use."""
