"""Rerun a breast-imaging radiomics study from images, masks and a clinical table to its report."""

__version__ = "0.1.0"
