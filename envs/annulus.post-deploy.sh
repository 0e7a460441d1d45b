# Snakemake runs this in the new environment, from the working directory (the root of the clone).
set -eu
python -m pip install --no-build-isolation -r requirements.lock
