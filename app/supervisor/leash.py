"""Run a command so that it ends when the process that started it ends, however that process ends.

    python -I -S leash.py PARENT_PID SIGNAL UID:GID|- COMMAND [WORD ...]

A supervisor that gets SIGKILL can tidy up nothing. On Linux the kernel does it: PR_SET_PDEATHSIG
sends SIGNAL to this process when its parent ends, and an exec keeps that setting. It is a program
of its own, with the standard library only, because a `preexec_fn` runs Python between fork and
exec, which deadlocks when the parent has threads. UID:GID, for a root who starts a program that
refuses root, is taken on first: a change of user clears the setting.

Left to the caller: start it from the main thread (the kernel looks at the thread that forked, not
at its process), and on other systems than Linux use `watchdog.py` too, which needs no kernel's
help.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1


def leashed(
    command: Sequence[str],
    *,
    on_death: signal.Signals = signal.SIGKILL,
    user: tuple[int, int] | None = None,
) -> list[str]:
    """The words that run `command` on a leash held by this process.

    `user`: (uid, gid) to become first.
    """
    who = "-" if user is None else f"{user[0]}:{user[1]}"
    return [
        sys.executable,
        "-I",
        "-S",
        __file__,
        str(os.getpid()),
        str(int(on_death)),
        who,
        *command,
    ]


def main(words: Sequence[str]) -> None:
    parent, number, who, *command = words
    if who != "-":
        uid, gid = (int(part) for part in who.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != int(parent):  # it ended before the line above: nobody will send the signal
        sys.exit(0)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
