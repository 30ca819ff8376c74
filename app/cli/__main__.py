"""`python -m app.cli`: the command where no script is on PATH."""

from __future__ import annotations

from app.cli import main

main()
