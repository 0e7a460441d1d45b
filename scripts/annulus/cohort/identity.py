"""How a study remembers its patients: by a hash, with which another cohort is asked whether it shares any."""

import hashlib


def patient_sha256(study: str, patient_id: str) -> str:
    """Hash a patient's id with the study's name as salt.

    Whoever has a list of ids can try them; it hides them from nobody else's list.
    """
    return hashlib.sha256(f"{study}:{patient_id}".encode()).hexdigest()
