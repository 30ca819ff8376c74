"""`python -m surefoot.app.cli`: the command where no script is on PATH."""

from __future__ import annotations

from surefoot.app.cli import main

main()
