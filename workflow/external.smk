# Patients of other hospitals against a finished study: the target external. Each cohort is a module of its own
# (external_cohort.smk), which knows no rule that fits anything, and a mistake in one cohort's patients stops no
# other's. At the end all cohorts stand side by side.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.25")


configfile: "config/config.yaml"


sys.path.insert(0, str(Path(str(workflow.current_basedir)).parent / "scripts"))

from annulus.config import Folders, load_external
from annulus.errors import StudyError


def read_external():
    """Return the study and the files of its external cohorts; mistakes end the run with their words alone."""
    try:
        return load_external(config, Folders(Path.cwd(), Path(str(workflow.current_basedir)).parent))
    except StudyError as error:
        raise WorkflowError(str(error)) from None


EXTERNAL_STUDY, EXTERNAL_FILES = read_external()
OWN_SETTINGS = {key: value for key, value in config.items() if key != "cohort" or "tasks" in config}

for NAME, PLACE in EXTERNAL_FILES.items():
    MODULE = f"external_{NAME}_"

    module:
        name: MODULE
        snakefile:
            "external_cohort.smk"
        config:
            {**OWN_SETTINGS, "external_cohort": PLACE}

    use rule * from MODULE as MODULE*
