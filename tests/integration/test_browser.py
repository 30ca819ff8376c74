"""The pages in a real browser: what only a browser does (scripts, cookies, forms, policies) is seen here and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from surefoot.app.saga.outcomes import Rejected
from surefoot.app.store.views import list_jobs
from surefoot.web.services import EXTENSION
from tests.contract.views.shop import Shop
from tests.integration.test_http_polling import statements
from tests.support.browser import PATIENCE_MS, browser  # noqa: F401 - a fixture
from tests.support.orders import Shop as Orders
from tests.support.running import Up
from tests.support.web_server import served


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    with served(app) as found:
        yield found


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:  # noqa: F811
    """A page in a browser of its own, which must not have complained: of a script, a policy, or anything that did not load.

    It asks for `url` so that it is closed before its server is: a page that follows a job would complain of that too.
    """
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 1180, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    found = context.new_page()
    found.on(
        "console",
        lambda message: complaints.append(message.text) if message.type == "error" else None,
    )
    found.on("pageerror", lambda error: complaints.append(str(error)))
    yield found
    context.close()
    refused = re.compile(
        "status of (401|422)"
    )  # a wrong key, a form with a fault: what a test sends on purpose
    assert [text for text in complaints if not refused.search(text)] == []


def sign_in(page: Page, url: str, key: str) -> None:
    page.goto(f"{url}/")
    expect(page).to_have_url(re.compile("/sign-in"))
    page.fill("#key", key)
    page.click("main button.main")
    page.wait_for_url(f"{url}/")


def filled(page: Page, **values: str) -> None:
    for name, value in {
        "sku": "apple",
        "quantity": "2",
        "amount_cents": "12.50",
        "card": "tok_ok",
        **values,
    }.items():
        page.fill(f'input[name="f.{name}"]', value)


def start(page: Page) -> str:
    """Send the form; the id of the job whose page it leads to."""
    page.click("form[data-once] button.main")
    page.wait_for_url(re.compile("/jobs/"))
    return page.url.rpartition("/")[2].partition("?")[0]


def deliver(shop: Shop, *steps: str) -> None:
    for step in steps:
        shop.deliver(shop.next(f"shop.{step}"))


def test_given_wrong_key_when_signing_in_then_said_beside_the_field(page: Page, url: str) -> None:
    page.goto(f"{url}/")
    page.fill("#key", "sf_nobody")
    page.click("main button.main")
    expect(page.locator("#key-fault")).to_contain_text("unknown or was revoked")


def test_given_three_clicks_when_the_form_is_sent_then_one_job_followed_live_to_its_end(
    shop: Shop, page: Page, url: str
) -> None:
    sign_in(page, url, shop.key())
    page.goto(f"{url}/?saga=shop")
    filled(page)
    page.evaluate(
        "() => { for (let i = 0; i < 3; i++) document.querySelector('form[data-once] button.main').click() }"
    )
    page.wait_for_url(re.compile("/jobs/"))
    assert len(list_jobs(shop.db, shop.tenant)[0]) == 1
    sentence = page.locator(".why .sentence")
    expect(sentence).to_contain_text("Accepted. It waits for its turn")
    page.evaluate("() => { window.stays = true }")
    deliver(shop, "create_order", "reserve_stock")
    expect(page.locator('[data-part="graph"] g.box.s-completed')).to_have_count(2)
    expect(page.locator("[data-heard]")).not_to_have_text("")
    shop.drain()
    page.wait_for_selector("[data-ended]")
    expect(page).to_have_title(re.compile("^✓ .*completed"))
    expect(page.locator("[data-fresh]")).to_have_text("final")
    assert "mark-done" in (page.get_attribute("#favicon", "href") or "")
    assert (
        page.evaluate("() => window.stays") is True
    )  # it was followed: the page was never loaded anew


def test_given_ended_job_when_its_page_stays_open_then_it_asks_no_more(
    shop: Shop, app: Flask, page: Page, url: str
) -> None:
    sign_in(page, url, shop.key())
    job_id = shop.order()
    shop.drain()
    page.goto(f"{url}/jobs/{job_id}")
    page.wait_for_selector("[data-ended]")
    with statements(app.extensions[EXTENSION].db) as seen:
        page.wait_for_timeout(2500)
    assert seen == []


@pytest.mark.long
def test_given_a_server_that_hangs_when_followed_then_told_as_not_reachable(
    shop: Shop, page: Page, url: str
) -> None:
    sign_in(page, url, shop.key())
    page.goto(f"{url}/jobs/{shop.order()}")
    page.route(re.compile("/live"), lambda route: None)  # it takes the request and never answers
    expect(page.locator("[data-fresh]")).to_contain_text("not reachable", timeout=PATIENCE_MS)
    page.unroute_all(behavior="ignoreErrors")
    expect(page.locator("[data-fresh]")).to_contain_text("updated", timeout=PATIENCE_MS)


def test_given_faults_when_the_form_is_sent_then_beside_their_fields_and_nothing_is_lost(
    shop: Shop, page: Page, url: str
) -> None:
    sign_in(page, url, shop.key())
    page.goto(f"{url}/?saga=shop")
    filled(page, quantity="5000", amount_cents="much")
    page.click("form[data-once] button.main")
    page.wait_for_selector(".field.wrong")
    for name, said in (("amount_cents", "such as 12.50"),):
        field = page.locator(f'input[name="f.{name}"]')
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(page.locator(f"#{field.get_attribute('aria-describedby')}")).to_contain_text(said)
    expect(page.locator('input[name="f.quantity"]')).to_have_value("5000")
    filled(page, quantity="5000")
    page.click("form[data-once] button.main")
    expect(page.locator('input[name="f.quantity"]')).to_have_attribute("aria-invalid", "true")
    filled(page)
    assert start(page) == list_jobs(shop.db, shop.tenant)[0][0]["id"]


def test_given_a_session_that_ends_when_a_form_is_being_filled_then_what_was_typed_is_kept(
    shop: Shop, page: Page, url: str
) -> None:
    sign_in(page, url, shop.key())
    page.goto(f"{url}/?saga=shop")
    filled(page, sku="pear")
    page.context.clear_cookies()
    expect(page.locator("[data-fresh]")).to_contain_text("signed out")  # its list has asked
    expect(page.locator('input[name="f.sku"]')).to_have_value("pear")
    page.click("form[data-once] button.main")
    expect(page.locator("main")).to_contain_text("your form is filled again")
    page.fill("#key", shop.key())
    page.click("main button.main")
    expect(page.locator('input[name="f.sku"]')).to_have_value("pear")


def test_given_a_session_that_ends_when_nothing_was_typed_then_the_page_asks_for_a_key(
    shop: Shop, page: Page, url: str
) -> None:
    sign_in(page, url, shop.key())
    page.context.clear_cookies()
    page.wait_for_selector("#key")


def test_given_running_job_when_cancelled_by_its_button_then_undone_before_the_eyes(
    shop: Shop, page: Page, url: str
) -> None:
    sign_in(page, url, shop.key())
    job_id = shop.order()
    deliver(shop, "create_order", "reserve_stock")
    page.goto(f"{url}/jobs/{job_id}")
    page.click("text=Cancel this job")
    page.click("text=Yes, cancel it")
    expect(page.locator("p.said")).to_contain_text("is being cancelled")
    assert shop.land(job_id) == "cancelled"
    page.wait_for_selector("[data-ended]")
    expect(page).to_have_title(re.compile("^↩ .*cancelled"))
    expect(page.locator('[data-part="graph"] g.box.undo.s-completed')).to_have_count(2)
    expect(page.locator("p.said")).to_have_count(0)


def test_given_declined_job_when_run_again_by_its_button_then_a_new_job_that_names_it(
    shop: Shop, page: Page, url: str
) -> None:
    shop.service.script["charge_card", "action"].append(Rejected("the bank declined the card"))
    job_id = shop.order()
    shop.land(job_id)
    sign_in(page, url, shop.key())
    page.goto(f"{url}/jobs/{job_id}")
    expect(page.locator(".why .sentence")).to_contain_text("declined")
    page.click("summary >> text=Resubmit")
    page.click("text=Yes, resubmit")
    page.wait_for_url(re.compile("said=resubmitted"))
    assert job_id not in page.url
    expect(page.locator("text=resubmitted from an earlier job")).to_have_attribute(
        "href", f"/jobs/{job_id}"
    )


def test_given_any_page_when_followed_to_the_api_then_every_operation_is_there_and_can_be_copied(
    shop: Shop, app: Flask, page: Page, url: str
) -> None:
    page.goto(f"{url}/sign-in")
    page.click("header >> text=API")
    expect(page).to_have_url(f"{url}/docs")
    operations = sum(
        len(methods)
        for methods in app.test_client().get("/api/v1/openapi.json").get_json()["paths"].values()
    )
    expect(page.locator("section.call .command button[data-copy]")).to_have_count(operations)
    page.click('ul.calls a[href="#jobs_cancel"]')
    expect(page.locator("section.call:target h2")).to_contain_text("/api/v1/jobs/{job_id}/cancel")
    assert page.evaluate(
        "() => document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )


@pytest.mark.long
@pytest.mark.timeout(500)
def test_given_everything_running_when_an_order_is_made_in_a_browser_then_done_and_another_undone(
    page: Page, tmp_path: Path
) -> None:
    up = Up(
        tmp_path / "home", SUREFOOT_BANK_SLOW_SECONDS="15", SUREFOOT_BANK_TIMEOUT_SECONDS="30"
    )  # slow enough to be cancelled by hand on a busy machine
    try:
        orders = Orders(up.start())
        sign_in(page, up.run.web_url, up.run.env["SUREFOOT_API_KEY"])
        page.evaluate(
            "() => { for (let i = 0; i < 3; i++) document.querySelector('form[data-once] button.main').click() }"
        )
        page.wait_for_url(re.compile("/jobs/"))
        page.wait_for_selector("[data-ended]", timeout=120_000)
        expect(page).to_have_title(re.compile("^✓ "))
        page.goto(up.run.web_url)
        page.click('button[data-value="tok_slow"]')
        start(page)
        page.click("text=Cancel this job")
        page.click("text=Yes, cancel it")
        page.wait_for_selector("[data-ended]", timeout=120_000)
        expect(page).to_have_title(re.compile("^↩ "))
        assert orders.states() == {"completed": 1, "cancelled": 1}
        orders.audit()
        orders.close()
    finally:
        up.close()


def test_given_attention_when_an_operator_writes_why_while_the_page_is_followed_then_his_words_stay_and_the_job_lands(
    shop: Shop, page: Page, url: str
) -> None:
    job = shop.asked()
    sign_in(page, url, shop.key("operator"))
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{url}/jobs/{job}")
    box = page.locator('[data-part="letters"]')
    expect(box).to_contain_text("The undo of charge_card gave up after 2 attempts")
    assert (
        page.evaluate("document.documentElement.scrollWidth") == 390
    )  # nothing hangs over on a telephone
    box.get_by_role("button", name="Assign to me").click()
    expect(page.locator('[data-part="letters"]')).to_contain_text("Assigned to")
    page.locator('.letter input[name="reason"]').focus()
    page.keyboard.type("paid back ")
    with page.expect_response(re.compile("/live")):  # it looks again while he writes
        pass
    page.keyboard.type("in cash")
    page.keyboard.press("Enter")  # chooses no decision
    expect(page.locator('.letter input[name="reason"]')).to_have_value("paid back in cash")
    page.get_by_role("button", name="Mark as done").click()
    expect(page.locator("p.said")).to_contain_text("Your decision is on record")
    assert shop.land(job) == "cancelled"
    expect(page.locator('[data-part="letters"]')).to_have_count(0)


def test_given_the_page_of_the_api_when_words_are_typed_then_only_what_has_all_of_them_is_shown(
    page: Page, url: str
) -> None:
    page.goto(f"{url}/docs")
    calls = page.locator("section.call:visible")
    contents = page.locator("[data-contents] li:visible")
    everything = calls.count()
    assert contents.count() == everything
    page.fill("#filter", "Redrive letter")
    expect(page.locator("[data-found]")).to_have_text(f"{calls.count()} of {everything}")
    assert 0 < calls.count() == contents.count() < everything / 2
    page.fill("#filter", "nowhere-to-be-found")
    expect(page.locator("[data-found]")).to_have_text("Nothing here has all of these words.")
    assert calls.count() == 0
    page.fill("#filter", "")
    expect(calls).to_have_count(everything)
