"""HTML pages of one file each: their look, and figures put into them."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from annulus.figures.style import cohort_title, model_title
from annulus.reporting.captions import caption_of


def page(template: str, synthetic: bool, **parts: Any) -> str:
    """Render a template of this folder as HTML that needs no other file and no network."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
    )
    return environment.get_template(template).render(
        synthetic=synthetic, cohort_title=cohort_title, model_title=model_title, **parts
    )


def figure_parts(figures: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Return figures (name, path of the PNG) with captions, embedded, at the size of reading."""
    return [
        {"name": figure, "caption": caption_of(figure), "image": _embedded(path), "width": _width(path)}
        for figure, path in figures
    ]


def _embedded(path: str) -> str:
    return base64.b64encode(Path(path).read_bytes()).decode("ascii")


def _width(path: str) -> int:
    """Width in CSS pixels at which a PNG of 300 dots per inch shows its text at reading size."""
    return round(int.from_bytes(Path(path).read_bytes()[16:20], "big") * 0.42)
