"""Parameters and answers that several routes share, as the document says them. What they obey is
read in `requests`.
"""

from __future__ import annotations

from surefoot.app.rules.reasons import OF_LETTERS
from surefoot.app.store.views import SHOWN_STATES
from surefoot.app.store.views.job_lists import PAGE_ROWS, PAGE_ROWS_MOST
from surefoot.web.api.documented import Answer, Parameter
from surefoot.web.api.responses import WAIT_MOST_S
from surefoot.web.api.shapes import jobs as shapes

# no control characters; other invisible ones are refused too
TEXT = r"^[^\u0000-\u001f\u007f-\u009f]*$"

STATE = Parameter(
    "state", {"enum": [str(state) for state in SHOWN_STATES]}, "Only jobs in this state."
)
SAGA = Parameter(
    "saga",
    {"type": "string", "minLength": 1, "maxLength": 64, "pattern": TEXT},
    "Only jobs of this saga.",
)
TAG = Parameter(
    "tag",
    {"type": "string", "minLength": 1, "maxLength": 64, "pattern": TEXT},
    "Only jobs with this tag.",
)
CURSOR = Parameter(
    "cursor",
    {"type": "string", "minLength": 1, "maxLength": 512},
    "`next` of the previous page, of this list with the same filters.",
)
EVENT_CURSOR = Parameter(
    "cursor",
    {"type": "string", "pattern": "^[0-9]{1,9}$"},
    "`next` of the previous page: events after this number.",
)


def limit(default: int) -> Parameter:
    return Parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": PAGE_ROWS_MOST, "default": default},
        "The most items in one answer. An answer with fewer items may have more pages.",
    )


LIMIT, EVENT_LIMIT = limit(PAGE_ROWS), limit(PAGE_ROWS_MOST)
PREFER = Parameter(
    "Prefer",
    {"type": "string"},
    f"`wait=N`: hold the answer until the job has ended, for at most N seconds (at most {WAIT_MOST_S})."
    " If too many requests wait already, the answer comes at once, without `Preference-Applied` and"
    " with `Retry-After`.",
    "header",
)
IF_NONE_MATCH = Parameter(
    "If-None-Match", {"type": "string"}, "The `ETag` of the copy that you have.", "header"
)
IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 512},
    "A random key of 1 to 255 visible characters, bare or in double quotes. The same key and body are the same job, for ever.",
    "header",
)

_NAME = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": TEXT}
LETTER_SAGA = Parameter("saga", _NAME, "Only letters of this saga.")
LETTER_STEP = Parameter("step", _NAME, "Only letters about this step.")
LETTER_WHY = Parameter(
    "why",
    _NAME,
    f"Only letters for this reason, such as {', '.join(f'`{why}`' for why in OF_LETTERS)}.",
)
LETTER_STATE = Parameter(
    "state", {"enum": ["open", "closed", "any"], "default": "open"}, "Only letters in this state."
)
LETTER_NEEDS_PERSON = Parameter(
    "needs_person",
    {"enum": ["true", "false"]},
    "Only letters that hold their job, or only the others.",
)
LETTER_JOB = Parameter("job", {"type": "string", "format": "uuid"}, "Only letters of this job.")

UNCHANGED = Answer("Not modified.", None, ("ETag",))
CHANGED_JOB = Answer(
    "It is on record; the job as it stands.", shapes.DecidedJob, ("Location", "Retry-After")
)
