"""TCP ports for the servers of tests: given out once, and nobody else is given one while its server is not there.

A port that the system picks is of its own range: another process may be given the same one before its server listens, and
any outgoing connection may take it while a test has the server stopped. These lie below that range, and each process of
tests has a stretch of its own.
"""

from __future__ import annotations

import itertools
import os

from surefoot.app.supervisor.ports import is_free

FIRST, STRETCHES, WIDTH = (
    10_100,
    218,
    100,
)  # up to 31,900: Linux picks from 32,768, others from 49,152; no browser goes to 10,080
_own = FIRST + os.getpid() % STRETCHES * WIDTH
_round = itertools.cycle(range(_own, _own + WIDTH))


def free_port() -> int:
    """A port of the loopback that nobody listens on, and that is not given again before as many others were."""
    found = next(
        (port for port in itertools.islice(_round, WIDTH) if is_free("127.0.0.1", port)), None
    )
    assert found is not None, f"no free port from {_own} on"
    return found
