"""Radiomics features of many regions per image, through pyradiomics."""
