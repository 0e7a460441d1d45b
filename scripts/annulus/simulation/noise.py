"""Random textures for SYNTHETIC images."""

import numpy as np


def power_law_texture(rng: np.random.Generator, shape: tuple[int, ...], exponent: float) -> np.ndarray:
    """Return noise whose power falls with the ``exponent``-th power of spatial frequency.

    Breast parenchyma in mammography has an exponent near 3 (Burgess, Med Phys 2001;28:419-437).
    The result has mean 0 and standard deviation 1 over the whole array.
    """
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij")))
    frequency.flat[0] = np.inf
    spectrum = np.fft.fftn(rng.standard_normal(shape)) * frequency ** (-exponent / 2)
    texture: np.ndarray = np.fft.ifftn(spectrum).real
    return (texture - texture.mean()) / texture.std()


def unit_within(values: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Shift and scale ``values`` to mean 0 and standard deviation 1 within ``mask``."""
    inside = values[mask]
    scaled: np.ndarray = (values - inside.mean()) / inside.std()
    return scaled
