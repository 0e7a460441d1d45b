"""Keys of pyradiomics' settings that change nothing here, because quality control or the manifest decides.

Used while Snakemake reads the workflow, so it needs nothing beyond the standard library.
"""

WITHOUT_EFFECT = ("label", "label_channel", "geometryTolerance", "correctMask", "additionalInfo")
