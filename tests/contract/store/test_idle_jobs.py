"""Open jobs of which nothing moves are found page by page."""

from __future__ import annotations

from sqlalchemy import text

from surefoot.app.store.job_reads import idle
from surefoot.app.store.session import asking
from tests.contract.views.shop import Shop

NIL = "00000000-0000-0000-0000-000000000000"


def test_given_open_jobs_when_paged_through_then_those_of_which_nothing_moves_and_each_page_leads_to_the_next(
    ready_url: str,
) -> None:
    shop = Shop(ready_url)
    ended = shop.order()
    shop.drain()
    opened = [shop.order() for _ in range(5)]
    stuck = [opened[1], opened[4]]
    with shop.db.begin() as tx:
        for job in stuck:
            written = job if shop.db.dialect.name == "postgresql" else job.replace("-", "")
            tx.execute(
                text("UPDATE surefoot_operations SET state = 'dropped' WHERE job_id = :job"),
                {"job": written},
            )
    pages, after = [], NIL
    with asking(shop.db) as connection:
        while after:
            found, after = idle(connection, after, 2)
            pages.append(found)
    assert pages == [[opened[1]], [], [opened[4]]]
    assert ended not in opened
    shop.close()
