"""Two versions of one saga, as a deploy has them side by side. DEPLOYED says which of them this process has: `1`, `2` or `1,2`.

Each function writes a line into the file BOOK: job, version, step and process. `pack` waits while there is a file HOLD.
"""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import BaseModel

from surefoot import Context, NotYet, Rejected, Saga

NAME = "parcel"
STEPS = {1: ("pack", "post"), 2: ("pack", "weigh", "post")}


class Parcel(BaseModel):
    refused: bool = False


def parcel(version: int) -> Saga[Parcel]:
    saga = Saga(NAME, version=version, input=Parcel)

    def noted(ctx: Context, what: str) -> None:
        with Path(os.environ["BOOK"]).open("a") as book:
            book.write(f"{ctx.job_id} {version} {what} {os.getpid()}\n")

    @saga.step(lane="parcels")
    def pack(ctx: Context, o: Parcel) -> NotYet | None:
        if Path(os.environ["HOLD"]).exists():
            return NotYet(0.2)
        noted(ctx, "pack")
        return None

    @pack.compensate(fidelity="exact")
    def unpack(ctx: Context, o: Parcel, packed: None) -> None:
        noted(ctx, "unpack")

    if version == 2:

        @saga.step(lane="parcels", undo=None)
        def weigh(ctx: Context, o: Parcel) -> None:
            noted(ctx, "weigh")

    @saga.step(lane="parcels", pivot=True, undo=None)
    def post(ctx: Context, o: Parcel) -> None:
        if o.refused:
            raise Rejected("nobody lives there")
        noted(ctx, "post")

    return saga


SAGAS = {version: parcel(version) for version in STEPS}
for _version in os.environ.get("DEPLOYED", "").replace(",", " ").split():
    globals()[f"parcel_{_version}"] = SAGAS[int(_version)]
