"""The users of a Redis of our own: one for each part, which may do what that part does and nothing
else.

With one password for all, whatever reads the environment of the smallest part could empty the
broker, change its configuration or load a module into it. Here nobody may administrate the server:
it is configured by its file. Commands are listed, so one that a later Redis brings is refused. Web
cannot take messages, Flower cannot put any anywhere, and a part that a saga package adds has the
rights that the package names.

Each password is derived from one kept under the home; a part is told its own. The file for the
server has hashes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from surefoot.app.supervisor import additions
from surefoot.app.supervisor.redis_rights import (
    CONNECTION,
    HOLD,
    LISTEN,
    PUBLISH,
    Rights,
    commands_of,
)

OPERATOR = "operator"  # for people and the commands they type: everything but administration
OURS: Mapping[str, Rights] = MappingProxyType(
    {
        "web": Rights(("*",), commands_of(CONNECTION, PUBLISH)),
        "relay": Rights(("*",), commands_of(CONNECTION, PUBLISH, "lrange rpush ltrim info")),
        "worker": Rights(("*",), commands_of(CONNECTION, PUBLISH, LISTEN, HOLD, "rpush")),
        # it reads its own queues and the depth of lanes; to put a message anywhere it has no
        # command
        "flower": Rights(
            ("*",),
            commands_of(
                CONNECTION, LISTEN, HOLD, "llen sadd smembers exists pexpire publish get set del"
            ),
        ),
        # a worker that a person starts beside the others needs kombu's scripts
        OPERATOR: Rights(
            ("*",),
            commands_of("info client|setname evalsha script|load script|exists"),
            ("@admin", "@scripting"),
        ),
    }
)


@lru_cache
def users() -> Mapping[str, Rights]:
    """Part -> its rights: ours, and those that saga packages add."""
    return MappingProxyType({**OURS, **additions.rights()})


def password(kept: str, user: str) -> str:
    """Of this user, from the one that is kept."""
    return hmac.new(kept.encode(), f"redis user {user}".encode(), hashlib.sha256).hexdigest()


def acl_file(kept: str) -> str:
    """What the server reads at its start."""
    return acl_of(
        {u: f"#{hashlib.sha256(password(kept, u).encode()).hexdigest()}" for u in users()}
    )


def acl_of(passwords: Mapping[str, str]) -> str:
    """The file, with these words of an ACL for the passwords."""
    lines = ["user default off resetkeys resetchannels -@all"]
    lines += [
        f"user {user} on {passwords[user]} {rights.rule()}" for user, rights in users().items()
    ]
    return "\n".join(lines) + "\n"


def url(kept: str, user: str, place: str) -> str:
    """`place`: host, port and database, as in 127.0.0.1:6379/0."""
    return f"redis://{user}:{password(kept, user)}@{place}"
