"""The two places that state every version agree, and neither says where packages come from."""

import re
import tomllib

from conftest import ROOT


def pinned() -> dict[str, str]:
    """Read pyproject.toml's pins."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return dict(pin.split("==") for pin in content["tool"]["uv"]["constraint-dependencies"])


def locked() -> dict[str, str]:
    """Read requirements.lock's pins."""
    text = (ROOT / "requirements.lock").read_text()
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", text, flags=re.MULTILINE))


def test_pyproject_and_the_lock_pin_the_same_set() -> None:
    assert len(pinned()) > 80
    assert pinned() == locked()


def test_every_package_of_the_lock_has_a_hash_and_no_address() -> None:
    text = (ROOT / "requirements.lock").read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text.strip())
    assert len(blocks) == len(locked())
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_every_dependency_is_pinned() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = [*content["project"]["dependencies"], *content["dependency-groups"]["dev"]]
    assert {re.split(r"[\[<>=]", name)[0] for name in named} <= set(pinned())
