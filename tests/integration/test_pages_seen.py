"""Every kind of page as people see it: wide and light, on a telephone and dark, and by axe-core.

Colors do not depend on the width, nor places on the scheme. The pictures lie in pytest's temporary folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, StorageState

from surefoot.app.errors import StoreUnavailable
from tests.support.browser import PATIENCE_MS, browser  # noqa: F401 - a fixture
from tests.support.gallery import LETTERS, Gallery
from tests.support.web_server import served

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
VIEWS = {"wide, light": (1440, 900), "phone, dark": (390, 844)}
EXPECTED = re.compile(
    "status of (400|401|404|422|503)"
)  # of pages that are answers to what went wrong
FORM = {"sku": "apple", "quantity": "2", "amount_cents": "12.50", "card": "tok_canary_5up3r"}


@dataclass
class Seen:
    """A signed-in page on a full gallery, and what it complained of."""

    url: str
    page: Page
    jobs: dict[str, str]
    complaints: list[str] = field(default_factory=list)

    def form(self, **values: str) -> None:
        self.page.goto(f"{self.url}/?saga=shop")
        for name, value in {**FORM, **values}.items():
            self.page.fill(f'input[name="f.{name}"]', value)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, dict[str, str]]]:
    """(url, key, job of each kind)."""
    gallery = Gallery(f"sqlite:///{tmp_path_factory.mktemp('gallery')}/store.sqlite3")
    jobs = {"undone": gallery.declined(), "fork": gallery.fork_undone()}
    jobs["attention"] = gallery.letters()[0]
    jobs["running"] = gallery.order()
    for step in ("create_order", "reserve_stock"):
        gallery.deliver(gallery.next(f"shop.{step}"))
    jobs["chain"] = gallery.under_way("long_way", 23)
    app = gallery.web()
    with served(app) as url:
        yield url, gallery.key("operator"), jobs
    gallery.close()


@pytest.fixture(scope="module")
def signed_in(browser: Browser, filled: tuple[str, str, dict[str, str]]) -> StorageState:  # noqa: F811
    """What a browser keeps of its session."""
    url, key, _ = filled
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"{url}/sign-in")
    page.fill("#key", key)
    page.click("main button.main")
    page.wait_for_url(f"{url}/")
    kept = context.storage_state()
    context.close()
    return kept


@pytest.fixture
def seen(
    browser: Browser,  # noqa: F811
    filled: tuple[str, str, dict[str, str]],
    signed_in: StorageState,
) -> Iterator[Seen]:
    url, _, jobs = filled
    context = browser.new_context(viewport={"width": 1440, "height": 900}, storage_state=signed_in)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    found = Seen(url, page, jobs)
    page.on(
        "console", lambda told: found.complaints.append(told.text) if told.type == "error" else None
    )
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    yield found
    context.close()


def job(kind: str) -> Callable[[Seen], None]:
    def shown(seen: Seen) -> None:
        seen.page.goto(f"{seen.url}/jobs/{seen.jobs[kind]}")

    return shown


def path(address: str) -> Callable[[Seen], None]:
    def shown(seen: Seen) -> None:
        seen.page.goto(f"{seen.url}{address}")

    return shown


def form_with_errors(seen: Seen) -> None:
    seen.form(quantity="5000", amount_cents="much")
    seen.page.click("form[data-once] button.main")
    seen.page.wait_for_selector(".field.wrong")


def expired_session(seen: Seen) -> None:
    seen.form()
    seen.page.context.clear_cookies()
    seen.page.click("form[data-once] button.main")
    seen.page.wait_for_selector("#key")


# A page that loads itself again must stand still while it is looked at.
STANDS_STILL = """window.setTimeout = (later =>
  (what, ms, ...more) => ms >= 5000 ? 0 : later(what, ms, ...more))(window.setTimeout)"""


def store_away(seen: Seen) -> None:
    def away() -> None:
        raise StoreUnavailable

    seen.page.add_init_script(STANDS_STILL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("surefoot.web.api.auth._who", away)
        seen.page.goto(f"{seen.url}/jobs")


PAGES: dict[str, tuple[Callable[[Seen], None], tuple[str, ...]]] = {  # and what each must say
    "form": (path("/?saga=shop"), ("New shop",)),
    "form with errors": (form_with_errors, ("Please check these 2 fields",)),
    "running": (job("running"), ("2 × apple, 12.50", "charge_card")),
    "undone": (job("undone"), ("2 × apple, 12.50", "card refunded")),
    "attention": (job("attention"), ("2 × apple, 12.50", "not undone so far", "card charged")),
    "fork of 100": (job("fork"), ("copy_… × 100", "no paper left")),
    "chain of 50": (job("chain"), ("station_23",)),
    "all steps": (lambda seen: path(f"/jobs/{seen.jobs['fork']}/steps")(seen), ("copy_99",)),
    "history": (lambda seen: path(f"/jobs/{seen.jobs['fork']}/history")(seen), ("newest first",)),
    "jobs": (path("/jobs"), ("1–50 of",)),
    "needs a person": (path("/jobs?state=attention"), (f"1–50 of {LETTERS}",)),
    "301 letters": (path("/dead-letters"), (f"1–50 of {LETTERS}",)),
    "unknown filter": (path("/jobs?state=finished"), ("is not a state here",)),
    "nobody of that name": (path("/find?q=order-0000"), ("No job is called",)),
    "expired session": (expired_session, ("You were signed out meanwhile", "form is filled again")),
    "store away": (store_away, ("Not available just now", "Try again")),
}


@pytest.mark.parametrize("name", PAGES)
def test_given_a_page_when_seen_by_anybody_then_nothing_keeps_them_from_it(
    seen: Seen, name: str, tmp_path: Path
) -> None:
    show, says = PAGES[name]
    show(seen)
    text = seen.page.inner_text("main")
    assert [words for words in says if words not in text] == []
    for view, (width, height) in VIEWS.items():
        seen.page.set_viewport_size({"width": width, "height": height})
        seen.page.emulate_media(color_scheme="dark" if view.endswith("dark") else "light")
        seen.page.screenshot(path=tmp_path / f"{name}, {view}.png")
        found = Axe().run(seen.page).response["violations"]
        told = [(one["id"], [node["html"][:120] for node in one["nodes"][:3]]) for one in found]
        assert told == [], f"{name}, {view}"
        beyond = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert seen.page.evaluate(beyond) == 0, f"{name} scrolls sideways at {width}"
    assert [text for text in seen.complaints if not EXPECTED.search(text)] == []


def test_given_a_long_chain_when_its_page_is_opened_then_the_running_step_is_in_view(
    seen: Seen,
) -> None:
    job("chain")(seen)
    assert seen.page.locator("[data-now]").first.evaluate(
        "box => { const b = box.getBoundingClientRect();"
        " const p = box.closest('.scroll').getBoundingClientRect();"
        " return b.left >= p.left && b.right <= p.right }"
    )
