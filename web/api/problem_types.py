"""The kinds of problems. Each is a page under /problems/, for readers who follow the `type` of an
answer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of problem: its status, its title, what it means and what the caller can do."""

    status: int
    title: str
    meaning: str
    remedy: str


KINDS: dict[str, Kind] = {
    "malformed-json": Kind(
        400,
        "The body is not valid JSON",
        "The text could not be read as JSON: a syntax error, a repeated key, NaN, a number with too many"
        " digits, half of a surrogate pair, or more than 64 nested levels.",
        "Send one JSON object in UTF-8, as a JSON library writes it.",
    ),
    "invalid-idempotency-key": Kind(
        400,
        "The Idempotency-Key cannot be used",
        "A key has 1 to 255 visible characters, bare or in double quotes.",
        "Send a new random key, such as a UUID, for each job that you want once.",
    ),
    "invalid-cursor": Kind(
        400,
        "The cursor cannot be used",
        "A cursor belongs to one list with its filters; this one belongs to another, or was never issued.",
        "Start at the first page, without a cursor, and follow `next` with the same filters.",
    ),
    "bad-request": Kind(
        400,
        "The request cannot be carried out as it is",
        "Something about the request itself is wrong; `detail` says what.",
        "Change what `detail` names, and send it again.",
    ),
    "unauthorized": Kind(
        401,
        "A key is needed",
        "The request has no API key, or its key is unknown or revoked.",
        "Send `Authorization: Bearer sf_…`. An operator makes keys with `surefoot keys create`.",
    ),
    "forbidden": Kind(
        403,
        "Your role does not allow this",
        "A key has a role: user, operator, admin or platform. This needs a higher role than yours.",
        "Ask an operator, or use a key with that role.",
    ),
    "cross-origin": Kind(
        403,
        "The request came from another site",
        "Changes with the page's cookie are accepted only from the server's own pages.",
        "Programs send an API key in `Authorization` instead.",
    ),
    "not-found": Kind(
        404,
        "Not found",
        "Nothing exists at this address, or it belongs to another tenant.",
        "Check the id; `GET /api/v1/jobs` lists your jobs.",
    ),
    "method-not-allowed": Kind(
        405,
        "This address does not support that method",
        "The address exists, but not with this method; the header `Allow` lists its methods.",
        "Use one of the methods in `Allow`.",
    ),
    "request-timeout": Kind(
        408,
        "The request came too slowly",
        "The head must arrive within SUREFOOT_HEAD_SECONDS, the body within SUREFOOT_BODY_SECONDS and"
        " at a minimum rate. The connection is closed.",
        "Send it again with the same Idempotency-Key, over a faster connection.",
    ),
    "conflict": Kind(
        409,
        "The state of the job forbids this",
        "The job has moved on: it has ended, is past the point of no return, or somebody else decided first.",
        "Read the job again: `GET /api/v1/jobs/{id}/why` explains its state.",
    ),
    "length-required": Kind(
        411,
        "The body needs a length",
        "The body came without Content-Length.",
        "Send Content-Length.",
    ),
    "too-large": Kind(
        413,
        "The body is too large",
        "A body may have 1 MiB, unless the operator chose another limit.",
        "Send less, or store the data elsewhere and send a reference.",
    ),
    "unsupported-media-type": Kind(
        415,
        "The body must be JSON",
        "The Content-Type is missing or is not application/json.",
        "Send `Content-Type: application/json`.",
    ),
    "misdirected": Kind(
        421,
        "The request names another host",
        "The header `Host` is not an address of this server: a wrong link, a proxy that sends its own"
        " name, or a page that misleads the browser.",
        "Use the address in `detail`. Operators set it with SUREFOOT_PUBLIC_URL, and further names"
        " with SUREFOOT_HOSTS.",
    ),
    "invalid-input": Kind(
        422,
        "The input does not fit",
        "The JSON is well-formed, but fields are missing, unknown, of the wrong type or out of range; `errors` has one "
        "entry for each, with a JSON pointer.",
        "Correct each field in `errors`; `GET /api/v1/sagas/{name}` shows the schema.",
    ),
    "unknown-saga": Kind(
        422,
        "The saga is not known",
        "A saga is known after a process with its code has started against this store.",
        "`GET /api/v1/sagas` lists the names; start a worker or web server that has the saga's package.",
    ),
    "key-reused": Kind(
        422,
        "This idempotency key was used for another request",
        "The same key with the same body is the same job; with another body it is refused.",
        "Make a new key for a new request.",
    ),
    "above-limit": Kind(
        422,
        "A value is above its limit",
        "The saga refuses inputs with more than its limit (`x-refused-above` in the input's schema).",
        "Ask for less.",
    ),
    "too-many-requests": Kind(
        429,
        "Too many requests",
        "Requests arrive above the rate of your key, or the limit of your open jobs is reached.",
        "Wait as long as `Retry-After` says.",
    ),
    "head-too-large": Kind(
        431,
        "The head of the request is too large",
        "The size of address and headers together is limited. The connection is closed.",
        "Send fewer or shorter headers. Cookies of other programs on this host are a common cause.",
    ),
    "internal-error": Kind(
        500,
        "Something went wrong here",
        "A bug in Surefoot. The log has it under the `trace_id`.",
        "Send it again with the same Idempotency-Key: that is safe. Tell an operator the `trace_id`.",
    ),
    "unavailable": Kind(
        503,
        "Temporarily unavailable",
        "The store cannot be reached or is too busy. Nothing of this request was kept, unless it was answered before.",
        "Wait as long as `Retry-After` says and send it again, with the same Idempotency-Key.",
    ),
}

OF_STATUS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    409: "conflict",
}
OF_STATUS |= {
    411: "length-required",
    413: "too-large",
    415: "unsupported-media-type",
    422: "invalid-input",
    429: "too-many-requests",
}
OF_STATUS |= {421: "misdirected", 500: "internal-error", 503: "unavailable"}
