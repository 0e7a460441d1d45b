"""SYNTHETIC patients with a known truth."""
