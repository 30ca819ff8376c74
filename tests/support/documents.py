"""The documents of the repository, as tests read them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DOOR = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")


def pages() -> list[Path]:
    """The files at the front door, then every page below docs/."""
    return [*(ROOT / name for name in DOOR), *sorted(DOCS.rglob("*.md"))]


def name_of(page: Path) -> str:
    """As `docs/operate/install`: a test's id."""
    return str(page.relative_to(ROOT).with_suffix(""))
