"""Pin what uv resolves: every version in pyproject.toml, and the same set with hashes in requirements.lock.

Run after changing a dependency, having deleted the lines that may move from constraint-dependencies:
    uv run --no-project python .ci/pin.py
Where newer Pythons would get a newer version, all of them get the one for Python 3.11.
"""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXPORT = [
    "uv", "export", "--format", "requirements.txt", "--all-groups", "--no-emit-project",
    "--no-annotate", "--no-header", "--quiet",
]  # fmt: skip


def resolved() -> str:
    """Return what uv resolves, as a requirements file with hashes."""
    return subprocess.run(EXPORT, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def pins(export: str) -> dict[str, str]:
    """Return each package's version; of several, the first, which is for the oldest Python."""
    found: dict[str, str] = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", export, flags=re.MULTILINE):
        found.setdefault(name, version)
    return found


def main() -> None:
    """Rewrite both files."""
    lines = "".join(f'    "{name}=={version}",\n' for name, version in sorted(pins(resolved()).items()))
    path = ROOT / "pyproject.toml"
    text = re.sub(
        r"constraint-dependencies = \[\n.*?\n\]\n",
        lambda found: f"constraint-dependencies = [\n{lines}]\n",
        path.read_text(encoding="utf-8"),
        count=1,
        flags=re.DOTALL,
    )
    path.write_text(text, encoding="utf-8")
    (ROOT / "requirements.lock").write_text(resolved(), encoding="utf-8")


if __name__ == "__main__":
    main()
