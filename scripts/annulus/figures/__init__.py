"""Figures, each beside the table that it was drawn from."""
