"""A hash of everything that a rule runs: its script and the library modules it reaches.

Snakemake sees neither imported modules nor, once its ``code`` trigger is off, the script itself.
A rule that carries this hash as a param reruns exactly when the code behind it changes meaning.
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent


def code_of(script: str | Path) -> str:
    """Hash ``script`` and every ``annulus`` module that it imports, directly or not.

    Comments, docstrings and layout do not count, nor do modification times or places. A data file
    beside a module with the module's name (``dictionary.py``, ``dictionary.yaml``) is part of it.
    """
    seen: dict[str, Path] = {}
    waiting = list(_imported(Path(script)))
    while waiting:
        module = waiting.pop()
        if module in seen:
            continue
        seen[module] = _file_of(module)
        waiting.extend(_imported(seen[module]))
    digest = hashlib.sha256(_meaning(Path(script)).encode())
    for module in sorted(seen):
        digest.update(f"\n{module}\n{_meaning(seen[module])}".encode())
    return digest.hexdigest()[:16]


def _file_of(module: str) -> Path:
    place = PACKAGE.parent.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@cache
def _imported(path: Path) -> tuple[str, ...]:
    return tuple(sorted(set(_annulus_modules(_tree(path)))))


def _annulus_modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE.name and _file_of(name).exists():
                yield name
                # Its package runs first; the root package holds the version alone.
                if name.count(".") > 1:
                    yield name.rpartition(".")[0]


@cache
def _meaning(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node, clean=False
        ):
            node.body = node.body[1:]
    data = sorted(path.parent.glob(f"{path.stem}.[!p]*"))
    return "\n".join([ast.unparse(tree), *(file.read_text(encoding="utf-8") for file in data)])
