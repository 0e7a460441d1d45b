"""What frozen models are worth, with intervals."""
