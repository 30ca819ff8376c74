"""Why a job stands where it stands, in plain words: what it waits for, since when, what ends the
wait, what comes next.

Page, HTTP and command line say the same sentence, which is made here. `why` reads one state of the
store and `tell` is pure, so that every sentence can be tested without a database.
"""

from __future__ import annotations

from surefoot.app.explain.facts import Facts
from surefoot.app.explain.story import tell, why

__all__ = ["Facts", "tell", "why"]
