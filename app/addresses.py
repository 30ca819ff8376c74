"""URLs and lists of them in settings: each checked, and refused in a sentence."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

BROKER_KINDS = ("redis", "rediss", "redis+socket", "amqp", "amqps", "pyamqp")
STORE_KINDS = ("postgresql", "postgres", "sqlite")
STORE_DRIVERS = ("", "psycopg", "pysqlite")


def kind_of(url: str) -> str:
    return url.partition("://")[0].lower() if "://" in url else ""


def parts_of(url: str) -> SplitResult:
    """The URL, taken apart. Raises: ValueError in a sentence for what is not one."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError as error:
        raise ValueError(f"is not a URL: {str(error)[:1].lower()}{str(error)[1:]}") from None
    return parts


def url_of(host: str, port: int) -> str:
    """Where a browser on this machine finds a server that listens on `host`."""
    host = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared with, not bound
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def checked_http(url: str) -> str:
    """The same URL, if it is one of HTTP with a host, or empty. Raises: ValueError in a sentence."""
    if url and (kind_of(url) not in ("http", "https") or not parts_of(url).hostname):
        raise ValueError("must be http:// or https:// and a host")
    return url


def checked_origin(url: str) -> str:
    """The same URL as browsers write an origin (lower case, without the scheme's own port), or "".

    Raises: ValueError in a sentence for what is not an origin.
    """
    if not url:
        return url
    parts = parts_of(checked_http(url))
    beside = (parts.path.rstrip("/"), *(set(url) & set("?#@ ")))
    if any(beside) or not url.isascii() or not url.isprintable():
        raise ValueError("must be https:// (or http://), a host and at most a port, without a path")
    host = (parts.hostname or "") if ":" not in (parts.hostname or "") else f"[{parts.hostname}]"
    own = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port not in (None, own) else "")


def words_of(text: str) -> tuple[str, ...]:
    """What commas separate."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def checked_store(url: str) -> str:
    """The same URL of a database, if it is one that a store or one of our services can use.

    Raises: ValueError in a sentence.
    """
    kind, _, driver = kind_of(url).partition("+")
    if url and (kind not in STORE_KINDS or driver not in STORE_DRIVERS):
        raise ValueError(
            f"no store of kind {kind_of(url)!r}; it begins with one of {', '.join(STORE_KINDS)} and ://"
        )
    if kind == "sqlite" and (
        url.partition("://")[2].strip("/") in ("", ":memory:") or "mode=memory" in url
    ):
        raise ValueError("SQLite in memory is a store of its own in every process; name a file")
    parts_of(url)
    return url


def checked_broker(url: str) -> str:
    """The same URL of a broker, if it is one that Celery can use here, or "".

    Raises: ValueError in a sentence.
    """
    if url and kind_of(url) not in BROKER_KINDS:
        raise ValueError(
            f"no broker of kind {kind_of(url)!r}; it begins with one of {', '.join(BROKER_KINDS)} and ://"
        )
    database = parts_of(url).path.strip("/")
    if url.startswith(("redis://", "rediss://")) and database and not database.isdecimal():
        raise ValueError(f"a database of Redis has a number, such as /0, not {database!r}")
    return url


def driver_url(url: str) -> str:
    """The same URL with the driver we use: a plain postgresql:// (or postgres://) goes through
    psycopg 3.
    """
    for plain in ("postgresql://", "postgres://"):
        if url.startswith(plain):
            return "postgresql+psycopg://" + url[len(plain) :]
    return url
