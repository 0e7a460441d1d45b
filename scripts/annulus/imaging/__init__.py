"""Images and masks: reading, mask quality control and regions of interest."""
