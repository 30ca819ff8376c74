"""The kinds of problems. Each is a page under /problems/, for whoever follows the `type` of an answer."""

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
        "The body is not JSON we take",
        "The text could not be read as JSON: a mistake in it, a key that comes twice, NaN, a number of too many digits, "
        "half of a surrogate pair, or nesting deeper than 64 levels.",
        "Send one JSON object in UTF-8, as a JSON library writes it.",
    ),
    "invalid-idempotency-key": Kind(
        400,
        "The Idempotency-Key cannot be used",
        "A key has 1 to 255 visible characters, bare or in double quotes.",
        "Send a new random key, such as a UUID, for each thing you want done once.",
    ),
    "invalid-cursor": Kind(
        400,
        "The cursor cannot be used",
        "A cursor belongs to the list that gave it, with the filters it was given for; this one does not, or was never given.",
        "Begin at the first page, without a cursor, and follow `next` with the same filters.",
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
        "The request has no API key, or one that is unknown or revoked.",
        "Send `Authorization: Bearer sf_…`. An operator makes keys with `surefoot keys create`.",
    ),
    "forbidden": Kind(
        403,
        "Your role does not allow this",
        "A key has a role: user, operator, admin or platform. This needs a higher one than yours.",
        "Ask an operator, or use a key with that role.",
    ),
    "cross-origin": Kind(
        403,
        "The request came from another site",
        "A change that rests on the page's cookie is only taken from our own pages.",
        "Programs send an API key in `Authorization` instead.",
    ),
    "not-found": Kind(
        404,
        "Not found",
        "The address names nothing, or a job that is not yours.",
        "Check the id; `GET /api/v1/jobs` lists your jobs.",
    ),
    "method-not-allowed": Kind(
        405,
        "This address does not take that method",
        "The address is right, the method is not; the header `Allow` lists those it takes.",
        "Use one of the methods in `Allow`.",
    ),
    "request-timeout": Kind(
        408,
        "The request came too slowly",
        "A head has to be there within SUREFOOT_HEAD_SECONDS, a body within SUREFOOT_BODY_SECONDS"
        " and at a least rate. The connection is closed.",
        "Send it again, with the same Idempotency-Key, over a better line.",
    ),
    "conflict": Kind(
        409,
        "The state of the job forbids this",
        "The job has moved on: it has ended, or is past the point of no return, or somebody else decided first.",
        "Read the job again: `GET /api/v1/jobs/{id}/why` tells where it stands.",
    ),
    "length-required": Kind(
        411,
        "The length of the body is needed",
        "The body came without Content-Length.",
        "Send Content-Length.",
    ),
    "too-large": Kind(
        413,
        "The body is too large",
        "A body has a limit, 1 MiB unless the operator chose another.",
        "Send less, or put the data elsewhere and send its name.",
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
        "The header `Host` is not the address of this server: a wrong link, a proxy that passes on"
        " a name of its own, or a page that leads a browser elsewhere than it says.",
        "Use the address in `detail`. An operator sets it by SUREFOOT_PUBLIC_URL, and further names"
        " by SUREFOOT_HOSTS.",
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
        "No saga of that name is known",
        "A saga is known once a process that has its code was started against this store.",
        "`GET /api/v1/sagas` lists the names; a worker or web server with the saga's package makes it known.",
    ),
    "key-reused": Kind(
        422,
        "This idempotency key was used for another request",
        "The same key with the same body answers with the same job; with another body it is a mistake.",
        "Make a new key for a new request.",
    ),
    "approval-needed": Kind(
        422,
        "A value is above its limit",
        "More than the saga takes without a person's approval, and approvals are not open yet.",
        "Ask for less.",
    ),
    "too-many-requests": Kind(
        429,
        "Too many requests",
        "Requests come faster than they are taken, or as many of your jobs are open as may be.",
        "Wait as long as `Retry-After` says.",
    ),
    "head-too-large": Kind(
        431,
        "The head of the request is too large",
        "Address and headers together have a limit. The connection is closed.",
        "Send fewer or shorter headers: cookies of other programs on this host are a usual reason.",
    ),
    "internal-error": Kind(
        500,
        "Something went wrong here",
        "A mistake of ours. It is in the log under the `trace_id`.",
        "Send it again with the same Idempotency-Key; it is safe. Tell an operator the `trace_id`.",
    ),
    "unavailable": Kind(
        503,
        "Temporarily unavailable",
        "The store cannot be reached just now, or is too busy. Nothing of this request was kept unless it was answered before.",
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
