"""Write the pages that are generated from the schemas; with --check, fail when one is out of step."""

import sys
from pathlib import Path

from annulus.config_docs import render, render_dictionary, render_findings

ROOT = Path(__file__).parents[1]


def main() -> int:
    """Write or check the pages."""
    schemas = ROOT / "workflow" / "schemas"
    pages = {
        ROOT / "config" / "README.md": render(schemas),
        ROOT / "docs" / "data_dictionary.md": render_dictionary(),
        ROOT / "docs" / "quality_control.md": render_findings(schemas),
    }
    wrong = 0
    for page, text in pages.items():
        if "--check" not in sys.argv:
            page.write_text(text, encoding="utf-8")
        elif not page.is_file() or page.read_text(encoding="utf-8") != text:
            print(f"{page.relative_to(ROOT)} is out of step. Run: uv run python .ci/config_docs.py")
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
