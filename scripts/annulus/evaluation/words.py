"""Words and limits that an evaluation's tables share with what is written about them.

Kept apart so that a report is written without importing what computes.
"""

OUT_OF_FOLD = "out-of-fold predictions"
UNPAIRED = "unpaired DeLong"

# What the leak screen looks at in place of the image.
SCREENS = {
    "outline": "the outline of the mask alone",
    "frame": "the frame of the image alone (size, pixel size, margins, device)",
}

# Our choice: a Spearman correlation at which a signature mostly ranks patients by volume.
FOLLOWS_VOLUME = 0.7

# Columns, and a note, of Table 1.
OUTCOME_GROUPS = ("no_event", "event")
PATIENTS = "patients"
DESCRIBES = "p describes, it selects nothing"
