"""A store of features by what they were computed from: an image that was done before is never done again.

The key is a hash of the image, the masks, the settings and the code; an entry is therefore right for any
study, run or batch that asks for it, and never goes out of date. Entries are written whole under another
name and then renamed, so that several writers, or one that is killed, leave no half of one.
"""

import gzip
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from annulus.codehash import code_of

logger = logging.getLogger(__name__)

# Whatever else computes values.
LIBRARIES = ("pyradiomics", "numpy", "scipy", "SimpleITK", "PyWavelets", "scikit-image")


@dataclass(frozen=True)
class Entry:
    """The features of one image: values by column (None for missing), and why values are missing."""

    values: Mapping[str, float | None]
    failures: Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class Store:
    """A folder of entries."""

    folder: Path

    def get(self, key: str) -> Entry | None:
        """Return an entry, or None where there is none that can be read."""
        path = self._path(key)
        try:
            content = json.loads(gzip.decompress(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, EOFError, ValueError) as error:
            logger.warning("%s cannot be read (%s) and is computed again", path, error)
            return None
        if content.get("key") != key:
            logger.warning("%s is not what its name says and is computed again", path)
            return None
        return Entry(content["values"], content["failures"])

    def put(self, key: str, entry: Entry) -> None:
        """Write an entry whole."""
        path = self._path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {
            "key": key,
            "values": dict(entry.values),
            "failures": [dict(row) for row in entry.failures],
        }
        packed = gzip.compress(json.dumps(content).encode(), compresslevel=4, mtime=0)
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".partial-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(packed)
                stream.flush()
                os.fsync(stream.fileno())
            # Readable for whoever shares the folder, which mkstemp's own files are not.
            umask = os.umask(0)
            os.umask(umask)
            Path(partial).chmod(0o666 & ~umask)
            Path(partial).replace(path)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json.gz"


def key_of(content: Any) -> str:
    """Hash what features are computed from, and the code and libraries that compute them."""
    packed = json.dumps([content, _code(), _versions()], sort_keys=True)
    return hashlib.sha256(packed.encode()).hexdigest()


@cache
def _code() -> str:
    return code_of(Path(__file__).with_name("controls.py"))


@cache
def _versions() -> list[str]:
    return [f"{name} {version(name)}" for name in LIBRARIES]
