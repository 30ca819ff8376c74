"""`surefoot doctor`: is everything here that is needed, does it fit together, and is nothing stuck?

The hazard: a system that is well in each of its parts and stands still as a whole, because a lane
has no worker, a clock is wrong, or a broker forgets. The answer: one list of questions, each
answered in a sentence, with what to do.

It is made for the moment when half of it is down: each question is bounded in time, what cannot be
asked is one line and no traceback, and what needs a store that is away is not asked. It leaves
everything as it was. FAIL: jobs do not land, or will not, until somebody does what the line says.
WARN: somebody should look.
"""

from __future__ import annotations

from surefoot.app.doctor.examine import examine
from surefoot.app.doctor.findings import Finding, Level

__all__ = ["Finding", "Level", "examine"]
