"""Split, signatures and models, fitted on training patients alone."""
