"""Friendly words for the form of a saga we ship, where its schema says nothing itself.

A schema's own `title`, `description`, `examples` and `default` come first, so that a developer's
saga gets a good form from its model alone.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Hint:
    """`suggestions`: (value, what it does), offered beside the field; `example`: what stands in the
    field when it is drawn.
    """

    label: str = ""
    help: str = ""
    example: str = ""
    suggestions: tuple[tuple[str, str], ...] = ()


CARDS = (
    ("tok_ok", "accepted"),
    ("tok_declined", "declined"),
    ("tok_slow", "slow"),
    ("tok_lost", "answer lost"),
)

HINTS: dict[str, dict[str, Hint]] = {
    "order": {
        "customer": Hint("Customer", "", "Ada Lovelace"),
        "email": Hint("Email", "", "ada@example.com"),
        "sku": Hint("Article", "", "apple", (("apple", ""), ("pear", ""), ("plum", ""))),
        "quantity": Hint("Quantity", "", "2"),
        "amount_cents": Hint("Amount", "At most 1,000.00.", "12.50"),
        "card": Hint("Card", "A test card. It is not shown again.", "tok_ok", CARDS),
        "order_ref": Hint("Your reference"),
    }
}


def hint(saga: str, field: str) -> Hint:
    return HINTS.get(saga, {}).get(field, Hint())
