"""The users of a Redis of our own: one for each part, which may do what that part does and nothing
else.

With one password for all, whatever reads the environment of the smallest part could empty the
broker, change its configuration or load a module into it. Here nobody may administrate the server:
it is configured by its file. Commands are listed, so one that a later Redis brings is refused. Web
cannot take messages, Flower cannot put any anywhere, the services of the topic exchange see their
own keys only.

Each password is derived from one kept under the home; a part is told its own. The file for the
server has hashes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

OPERATOR = "operator"  # for people and the commands they type: everything but administration
CONNECTION = "ping echo hello auth select reset client|setname multi exec discard watch unwatch"
PUBLISH = "lpush sadd smembers exists pexpire publish get set del llen"
LISTEN = "brpop rpop subscribe psubscribe unsubscribe punsubscribe info"
# kombu's index of messages that are held, its lock, its table of bindings: the last three go by
# scripts
HOLD = (
    "hset hget hdel zadd zrem zrange zrangebyscore srem expire pttl time"
    " evalsha script|load script|exists"
)


@dataclass(frozen=True)
class Rights:
    """`keys`: patterns; `commands`: words as an ACL has them, without their sign."""

    keys: tuple[str, ...]
    commands: tuple[str, ...]
    all_but: tuple[
        str, ...
    ] = ()  # everything but these categories and commands, and `commands` again

    def rule(self) -> str:
        words = [
            "resetkeys",
            *(f"~{pattern}" for pattern in self.keys),
            "resetchannels",
            "&*",
            "-@all",
        ]
        if self.all_but:
            words += ["+@all", *(f"-{name}" for name in self.all_but)]
        return " ".join([*words, *(f"+{name}" for name in self.commands)])


def _commands(*groups: str) -> tuple[str, ...]:
    return tuple(name for group in groups for name in group.split())


USERS: Mapping[str, Rights] = MappingProxyType(
    {
        "web": Rights(("*",), _commands(CONNECTION, PUBLISH)),
        "relay": Rights(("*",), _commands(CONNECTION, PUBLISH, "lrange rpush ltrim info")),
        "worker": Rights(("*",), _commands(CONNECTION, PUBLISH, LISTEN, HOLD, "rpush")),
        "services": Rights(
            ("*order.events/*",), _commands(CONNECTION, PUBLISH, LISTEN, HOLD, "rpush")
        ),
        # it reads its own queues and the depth of lanes; to put a message anywhere it has no
        # command
        "flower": Rights(
            ("*",),
            _commands(
                CONNECTION, LISTEN, HOLD, "llen sadd smembers exists pexpire publish get set del"
            ),
        ),
        # a worker that a person starts beside the others needs kombu's scripts
        OPERATOR: Rights(
            ("*",),
            _commands("info client|setname evalsha script|load script|exists"),
            ("@admin", "@scripting"),
        ),
    }
)


def password(kept: str, user: str) -> str:
    """Of this user, from the one that is kept."""
    return hmac.new(kept.encode(), f"redis user {user}".encode(), hashlib.sha256).hexdigest()


def acl_file(kept: str) -> str:
    """What the server reads at its start."""
    return acl_of({u: f"#{hashlib.sha256(password(kept, u).encode()).hexdigest()}" for u in USERS})


def acl_of(passwords: Mapping[str, str]) -> str:
    """The file, with these words of an ACL for the passwords."""
    lines = ["user default off resetkeys resetchannels -@all"]
    lines += [f"user {user} on {passwords[user]} {rights.rule()}" for user, rights in USERS.items()]
    return "\n".join(lines) + "\n"


def url(kept: str, user: str, place: str) -> str:
    """`place`: host, port and database, as in 127.0.0.1:6379/0."""
    return f"redis://{user}:{password(kept, user)}@{place}"
