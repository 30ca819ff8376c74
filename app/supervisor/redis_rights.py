"""What a user of a Redis of our own may do: keys by pattern, and commands by name."""

from __future__ import annotations

from dataclasses import dataclass

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
    """`keys`: patterns; `commands`: words as an ACL has them, without their sign.

    `all_but`: everything but these categories and commands, and `commands` again.
    """

    keys: tuple[str, ...]
    commands: tuple[str, ...]
    all_but: tuple[str, ...] = ()

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


def commands_of(*groups: str) -> tuple[str, ...]:
    """Several groups of commands, each one word after the other, as one list."""
    return tuple(name for group in groups for name in group.split())
