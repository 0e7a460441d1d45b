"""Seeds of what is drawn at random for one image."""

import hashlib


def seed_of(seed: int, patient_id: str, image_id: str, name: str) -> int:
    """Return the seed of one named draw for one image, the same whatever else is drawn before."""
    key = hashlib.sha256(repr((int(seed), str(patient_id), str(image_id), name)).encode()).digest()
    return int.from_bytes(key[:8], "big")
