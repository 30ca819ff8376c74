"""Texts that would be markup: wherever somebody may write one, every page shows it as text. Pages are taken from the application."""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from jinja2 import pass_context
from markupsafe import Markup

from surefoot.app.access import keys, sessions, tenants
from surefoot.app.access.principal import Role
from surefoot.app.engine.operators import assignment, decisions
from surefoot.app.engine.worker import leases, quarantine
from surefoot.app.engine.worker.leases import WorkerProcess
from surefoot.app.engine.worker.quarantine import Unrunnable
from surefoot.web.pages.forms import PREFIX
from surefoot.web.security import POLICY
from tests.contract.views.shop import GOOD
from tests.support.house import House

CANARY = "x-canary"
BAD = f"'\"></title></textarea><{CANARY} onfocus=a()>"  # short enough for an article's name
LONG = f"{BAD}</script></style>--><{CANARY} src=javascript:a()>{{{{7*7}}}}&lt;{CANARY}&gt;"
FIELDS = (
    "state",
    "saga",
    "tag",
    "step",
    "why",
    "q",
    "next",
    "said",
    "page",
    "cursor",
    "limit",
    "key",
    "job",
    "reason",
    "owner",
)
RUNS_NOTHING = {"iframe", "object", "embed", "base", "applet", "style", "template", "noscript"}
LEADS = {"href", "src", "action", "formaction", "xlink:href", "data", "poster"}


class Page(HTMLParser):
    """What a browser would make of a page. `wrong`: markup that nobody of ours has written; `text`: what is read."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if CANARY in tag or tag in RUNS_NOTHING:
            self.wrong.append(f"<{tag}>")
        if tag == "script" and not (values.get("src") or "").startswith("/static/"):
            self.wrong.append("a script in the page")
        if tag == "meta" and "http-equiv" in values:
            self.wrong.append("a header in the page")
        for name, value in attrs:
            if name.startswith("on") or name == "style" or CANARY in name:
                self.wrong.append(f"<{tag} {name}>")
            leads = (value or "").strip().lower()
            if name in LEADS and leads.startswith(("javascript:", "data:", "vbscript:", "//")):
                self.wrong.append(f"<{tag} {name}={value}>")
            self.text += (
                f" {value or ''}"
                if name in ("value", "title", "alt", "aria-label", "placeholder")
                else ""
            )

    def handle_data(self, data: str) -> None:
        self.text += data


class Scribbled(House):
    """The house, and in it a text that would be markup wherever somebody could write one."""

    def _fill(self) -> None:
        super()._fill()
        shop, script = self.shop, self.shop.service.script
        more: dict[str, Any] = {"value": {"sku": BAD, "note": LONG}, "tags": (BAD,)}
        broken = type(LONG, (RuntimeError,), {})

        def says(ctx: Any) -> str:
            ctx.progress(0.5, LONG)
            return LONG

        leases.register_worker(
            shop.db,
            LONG[:60],
            WorkerProcess(host=BAD, pid=1, lanes=["nowhere"], digests=[], concurrency=1),
        )
        shop.drain()
        script["create_order", "action"] = [says]
        script["charge_card", "action"] = [broken(LONG)] * 5
        script["reserve_stock", "undo"] = [broken(LONG)] * 10
        asked = shop.order(**more)
        assert shop.land(asked) == "attention"
        assignment.assign(shop.db, asked, LONG, LONG)
        cancelled = shop.order(**more)
        decisions.cancel(shop.db, shop.settings, cancelled, LONG)
        shop.drain()
        script["charge_card", "undo"] = [broken(LONG)] * 2
        decided = shop.order(**more)
        for step in ("create_order", "reserve_stock", "charge_card"):
            shop.deliver(shop.next(f"shop.{step}"))
        shop.cancel(decided)
        assert shop.land(decided) == "attention"
        decisions.waive(shop.db, shop.letters(decided)[0].id, LONG, LONG)
        script["create_order", "action"] = [broken(LONG)]
        waits = shop.order(**more)
        shop.deliver(shop.next("shop.create_order"))
        quarantine.keep(
            shop.db, LONG, Unrunnable(queue=BAD, body=LONG.encode(), headers={BAD: LONG}, size=9)
        )
        self.jobs |= {"asked": asked, "waiting": waits, "failed": decided}
        self.others = [cancelled, *self.jobs.values()]
        self.letters |= {"asked": shop.letters(asked)[0].id}
        keys.create(shop.db, tenants.DEFAULT, list(Role)[-1], LONG[:60])
        admin = keys.find(shop.db, self._key_of_admin)
        assert admin is not None
        sessions.begin(shop.db, admin.key_id, address=BAD, agent=BAD)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scribbled]:
    found = Scribbled(tmp_path_factory.mktemp("scribbled"))
    yield found
    found.close()


def asked(house: Scribbled) -> Iterator[tuple[str, Any]]:
    """(what was asked, the answer) of every page there is, as it is and with such texts in its query, and of addresses that are none."""
    client = house.app.test_client(use_cookies=False)
    owner = house.asker("admin of alpha").headers | {
        "Accept": "text/html",
        "User-Agent": LONG,
        "Referer": f"http://localhost/{quote(BAD)}",
    }
    query = urlencode(dict.fromkeys(FIELDS, LONG))
    for call in house.calls():
        if call.method != "GET":
            continue
        for job in dict.fromkeys([*house.others]) if "job_id" in call.names else [""]:
            path = house.path(call).replace(call.names.get("job_id", "\0"), job)
            for address in (path, f"{path}?{query}", f"{path}?{urlencode({'tag': BAD})}"):
                yield address, client.get(address, headers=owner, buffered=True)
        for name in call.rule.arguments:
            path = house.path(call).replace(quote(call.names[name]), quote(BAD, safe=""))
            yield path, client.get(path, headers=owner, buffered=True)
    for path in (
        f"/{quote(BAD)}",
        f"/jobs/{quote(BAD, safe='')}/{quote(BAD, safe='')}",
        f"/static/{quote(BAD)}",
        f"/api/v1/{quote(BAD)}",
    ):
        yield path, client.get(path, headers=owner, buffered=True)
    for host in (BAD, f"localhost:{BAD}", f"localhost/{BAD}", f"{CANARY}.localhost"):
        yield f"Host {host}", client.get("/jobs", headers=owner | {"Host": host}, buffered=True)
    fields = {f"{PREFIX}{name}": value for name, value in GOOD.items()} | {"saga": "shop"}
    names = (*fields, f"{PREFIX}note", "key")
    forms = [fields | {name: LONG} for name in names] + [dict.fromkeys(FIELDS, LONG)]
    carried = {"Accept": "text/html"}
    yield (
        "a form that is carried through the sign-in",
        client.post("/sign-in/again?next=/jobs", data=forms[0], headers=carried, buffered=True),
    )
    for call in house.calls():
        if call.method == "POST" and not call.rule.rule.startswith("/api/"):
            for form in forms:
                house.restore()
                yield (
                    f"{call} with {form}",
                    client.post(house.path(call), data=form, headers=owner, buffered=True),
                )


def test_given_markup_in_every_text_when_every_page_is_shown_then_it_is_text(
    house: Scribbled,
) -> None:
    shown: set[str] = set()
    pages = 0
    for what, answer in asked(house):
        assert answer.status_code != 500, what
        assert answer.headers["Content-Security-Policy"] == POLICY, what
        assert answer.headers["X-Content-Type-Options"] == "nosniff", what
        assert f"<{CANARY}" not in str(answer.headers), what
        if answer.mimetype not in ("text/html", "image/svg+xml"):
            assert answer.mimetype in (
                "application/json",
                "application/problem+json",
                "text/plain",
                "text/css",
                "text/javascript",
            ), what
            continue
        page = Page(answer.get_data(as_text=True))
        assert page.wrong == [], f"{what}: {page.wrong}"
        pages += 1
        shown |= {what} if CANARY in page.text else set()
        assert "49&lt;" not in page.text, f"{what}: a template was run"
    assert pages > 60
    assert len(shown) > 30  # the texts are there, and are read


@pytest.mark.parametrize(
    "source",
    [
        f"<p>{BAD}",
        "<a href='javascript:a()'>",
        "<img src=x onerror=a()>",
        "<script>a()</script>",
        "<svg onload=a()>",
    ],
)
def test_given_markup_that_was_not_escaped_when_looked_for_then_found(source: str) -> None:
    assert Page(source).wrong


def test_given_our_templates_when_read_then_nothing_is_marked_safe_but_what_says_why() -> None:
    for file in sorted((Path(__file__).parents[2] / "web" / "templates").glob("*.html")):
        for line in file.read_text().splitlines():
            assert "|safe" not in line.replace(" ", "") or "drawing" in line or "svg" in line, (
                f"{file.name}: {line}"
            )
            assert "autoescape" not in line, file.name


# Templates without an expression that tells what a user, a step or a peer wrote. What base.html shows counts for the
# page that extends it; problem.html shows such a text by `coded` alone, which escapes it by itself.
NOBODYS = {"base.html", "docs.html", "problem.html", "problems.html"}
NOBODYS |= {"_effects.html", "_recent.html", "job.html", "steps.html"}


def test_given_templates_that_escape_nothing_when_walked_then_found_in_each(
    house: Scribbled,
) -> None:
    """Nothing is escaped, and each template puts its name into the markup that it lets through."""
    environment = house.app.jinja_env
    before, expected = environment.autoescape, set(environment.list_templates()) - NOBODYS
    found: set[str] = set()

    @pass_context
    def named(context: Any, value: Any) -> Any:
        if not isinstance(value, str) or isinstance(value, Markup):
            return value
        return value.replace(f"<{CANARY}", f"<{CANARY}-in-{context.name}-")

    try:
        environment.autoescape, environment.finalize = False, named
        environment.cache.clear()
        for _, answer in asked(house):
            if answer.mimetype == "text/html":
                wrong = " ".join(Page(answer.get_data(as_text=True)).wrong)
                found |= {name for name in expected if f"-{name}-" in wrong}
            if found == expected:
                break
    finally:
        environment.autoescape, environment.finalize = before, None
        environment.cache.clear()
    assert not expected - found, ", ".join(sorted(expected - found))
