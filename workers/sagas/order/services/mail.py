"""The mail that says thanks: it cannot be taken back, so it comes last.

`SUREFOOT_MAIL` is a folder, which takes one file for each effect key (a repeat sends no second
mail), or an SMTP server, which keeps no keys: there a repeat after a lost answer is a second copy,
with the same Message-ID. The step says so itself (`on_unknown="retry"`: at least once).
"""

from __future__ import annotations

import os
import smtplib
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from email.message import EmailMessage
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from surefoot import Context, EffectReport, EffectState, NothingSent, Rejected
from surefoot.workers.sagas.order.models import OrderRequest, Receipt
from surefoot.workers.sagas.order.settings import order_settings

SMTP_S = 15.0
SUFFIX = ".eml"


def send_receipt(ctx: Context, o: OrderRequest) -> Receipt:
    """Send the receipt, or put it into the folder.

    Raises: Rejected when the server refuses it for good; NothingSent.
    """
    message = _compose(ctx, o)
    target = order_settings().mail_target()
    if target.startswith(("smtp://", "smtps://")):
        _send(message, target, min(SMTP_S, ctx.remaining()))
    else:
        _put(message, Path(target) / _file_name(ctx.key))
    return Receipt(message_id=message["Message-ID"])


def receipts_by_job() -> Counter[str] | None:
    """How many receipts each job has sent; None when they went to a server, which does not tell."""
    target = order_settings().mail_target()
    if target.startswith(("smtp://", "smtps://")):
        return None
    folder = Path(target)
    names = [entry.name for entry in os.scandir(folder)] if folder.is_dir() else []
    return Counter(
        unquote(name.removesuffix(SUFFIX)).split(":")[0] for name in names if name.endswith(SUFFIX)
    )


def seen(keys: Iterable[str]) -> list[EffectReport]:
    """Which of these receipts lie in the folder.

    A server keeps no keys, so of its mails nothing can be said.
    """
    target = order_settings().mail_target()
    if target.startswith(("smtp://", "smtps://")):
        return [EffectReport(key, EffectState.UNKNOWN) for key in keys]
    return [
        EffectReport(key, EffectState.DONE)
        for key in keys
        if (Path(target) / _file_name(key)).exists()
    ]


def seen_between(first: str, last: str) -> list[EffectReport]:
    """Every receipt in the folder under a key in between, by key; a server keeps none."""
    target = order_settings().mail_target()
    if target.startswith(("smtp://", "smtps://")) or not Path(target).is_dir():
        return []
    names = [entry.name for entry in os.scandir(target) if entry.name.endswith(SUFFIX)]
    keys = (unquote(name.removesuffix(SUFFIX)) for name in names)
    return [EffectReport(key, EffectState.DONE) for key in sorted(keys) if first < key < last]


def _compose(ctx: Context, o: OrderRequest) -> EmailMessage:
    message = EmailMessage()
    message["From"] = order_settings().mail_from
    message["To"] = o.email
    message["Subject"] = f"Your order {o.order_ref or ctx.job_id}"
    message["Date"] = formatdate(localtime=False)
    message["Message-ID"] = f"<{quote(ctx.key, safe='')}@surefoot>"
    message["X-Effect-Key"] = ctx.key
    price = f"{o.amount_cents // 100}.{o.amount_cents % 100:02d}"
    message.set_content(
        f"Dear {o.customer},\n\nthank you. We have sent you {o.quantity} x {o.sku} and charged {price}.\n"
    )
    return message


def _put(message: EmailMessage, path: Path) -> None:
    """Write a file whole or not at all, so that no crash leaves half a mail."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    with os.fdopen(handle, "wb") as file:
        file.write(message.as_bytes())
        file.flush()
        os.fsync(file.fileno())
    os.replace(name, path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(
            folder
        )  # else a power cut may forget the name of a file whose mail we report as sent
    finally:
        os.close(folder)


def _send(message: EmailMessage, url: str, timeout_s: float) -> None:
    parts = urlsplit(url)
    kind = smtplib.SMTP_SSL if parts.scheme == "smtps" else smtplib.SMTP
    if timeout_s <= 0:
        raise NothingSent("No time is left to send the mail.")
    try:
        server = kind(parts.hostname or "localhost", parts.port or 0, timeout=timeout_s)
    except OSError as error:
        raise NothingSent(f"The mail server cannot be reached: {error}") from error
    try:
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        if all(code >= 500 for code, _ in error.recipients.values()):
            raise Rejected("The mail server refuses this address for good.") from error
        raise
    finally:
        with suppress(OSError):  # a mail that was taken is sent, however the server says good-bye
            server.quit()
        server.close()


def _file_name(key: str) -> str:
    return quote(key, safe="") + SUFFIX
