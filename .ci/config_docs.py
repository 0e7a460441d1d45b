"""Write config/README.md from the schemas; with --check, fail when it is out of step."""

import sys
from pathlib import Path

from annulus.config_docs import render

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Write or check the page."""
    page, text = ROOT / "config" / "README.md", render(ROOT / "workflow" / "schemas")
    if "--check" not in sys.argv:
        page.write_text(text, encoding="utf-8")
        return 0
    if page.read_text(encoding="utf-8") == text:
        return 0
    print("config/README.md is out of step with workflow/schemas. Run: uv run python .ci/config_docs.py")
    return 1


if __name__ == "__main__":
    sys.exit(main())
