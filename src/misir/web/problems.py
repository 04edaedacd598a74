"""Every `type` an error may carry, explained: what it means, what to do. A test compares it to the code."""

from __future__ import annotations

from typing import Final, NamedTuple


class ProblemPage(NamedTuple):
    status: int
    title: str
    meaning: str
    what_to_do: str


PROBLEMS: Final = {
    "bad-request": ProblemPage(
        400,
        "The request cannot be read",
        "What arrived is not HTTP or JSON that can be understood; nothing was done.",
        "Check that the body is valid JSON and that `Content-Type: application/json` is sent with it.",
    ),
    "unauthorized": ProblemPage(
        401,
        "A valid token is required",
        "The request carries no bearer token, or one that is malformed, expired, or not ours. The answer is "
        "the same for each, so that it helps nobody to guess.",
        "Send `Authorization: Bearer <token>` with a current token; sign in again if it may have expired. On "
        "your own machine, `MOCK_AUTH=True` works without tokens.",
    ),
    "forbidden": ProblemPage(
        403,
        "This is not allowed",
        "The token is valid, but the request asks for something its user may not do: often a `user_id` "
        "that is not the token's user.",
        "Leave `user_id` out (the token says who you are), or sign in as that user.",
    ),
    "not-found": ProblemPage(
        404,
        "There is nothing here",
        "The address, or the object it names, does not exist for you: it was deleted, never existed, or "
        "belongs to somebody else. The three look the same on purpose.",
        "Check the id and the path. The API reference at `/docs` lists every address.",
    ),
    "method-not-allowed": ProblemPage(
        405,
        "This address does not answer this method",
        "The path exists, but not with the HTTP method that was used.",
        "The `Allow` header of the answer lists the methods it does answer.",
    ),
    "conflict": ProblemPage(
        409,
        "The object's state does not allow this",
        "The request is well formed, but it contradicts what is stored: capturing into an archived space, or "
        "lowering an engagement level, which only ever rises.",
        "Read `detail`, fetch the object, and decide again from its present state.",
    ),
    "too-large": ProblemPage(
        413,
        "The request is too large",
        "A request may have 8 MiB, one that brings a file more: `detail` says how much. Nothing was saved.",
        "Send fewer or shorter items: split a batch, or cut the text.",
    ),
    "validation-error": ProblemPage(
        422,
        "A field is missing or wrong",
        "The request was read, but at least one field is not what it may be. Nothing was saved.",
        "`errors` names each field and its fault; `/docs` lists what is allowed. Correct it before you send "
        "it again: the same request fails again.",
    ),
    "unreadable": ProblemPage(
        422,
        "This cannot be read",
        "A page could not be fetched, or a file is broken, encrypted, too large once unpacked, has no text, "
        "or is of a kind Misir does not read. Nothing was saved.",
        "`detail` says which. Send the page's text with `POST /artifacts/capture`, or another file.",
    ),
    "too-many-requests": ProblemPage(
        429,
        "Too many requests",
        "More requests came in this minute than the limit of this route allows.",
        "Wait as many seconds as `Retry-After` says. To capture much at once, send a batch.",
    ),
    "http-error": ProblemPage(
        400,
        "The request was refused",
        "The server refused the request for a reason that has no page of its own; `status` and "
        "`detail` say which.",
        "Read `detail`. If it does not help, report it with the `request_id`.",
    ),
    "internal-error": ProblemPage(
        500,
        "Something went wrong on our side",
        "Misir met something it did not foresee. Nothing of this request was saved.",
        "Send it again later. If it happens again, report the `request_id`: the log of the server has the "
        "cause.",
    ),
    "settings": ProblemPage(
        500,
        "A setting is wrong",
        "An environment variable, or a line of `.env`, has a value that Misir cannot use, so it does not "
        "start.",
        "The message names the setting and what it may be. Correct it and start again.",
    ),
    "unavailable": ProblemPage(
        503,
        "Something Misir needs is not there right now",
        "The database or another service does not answer. Misir keeps trying on its own.",
        "Send the request again after `Retry-After` seconds. `/health/ready` says what is missing.",
    ),
    "database-unavailable": ProblemPage(
        503,
        "The database cannot be used",
        "Misir cannot reach its database, or cannot start the one in its data directory.",
        "Check `DATABASE_URL` and that the server runs; for the embedded database, that `MISIR_DATA_DIR` is "
        "writable and its disk is not full. `detail` says which it was.",
    ),
    "model-unavailable": ProblemPage(
        503,
        "The embedding model is missing",
        "The configured model cannot be loaded, so texts cannot be placed by meaning. Search by "
        "words still works.",
        "Check `EMBEDDING_MODEL`: a name that can be downloaded, a directory that exists, or an address that "
        "answers. Misir tries again by itself.",
    ),
    "model-busy": ProblemPage(
        503,
        "Too much waits for the embedding model",
        "More texts wait than the model can read within `EMBEDDING_WAIT_S`, so this request was not taken "
        "in, and nothing of it was saved. Search by words still works.",
        "Send it again after `Retry-After` seconds: what waits, divided by what is read a second. If this "
        "happens often: fewer pages in a batch, more cores, or an embedding server.",
    ),
    "model-mismatch": ProblemPage(
        503,
        "This library was made with another model",
        "Vectors of two models cannot be compared, so Misir does not mix them.",
        "Set `EMBEDDING_MODEL` to the model that `detail` names and restart, or move the library to another "
        "model with `misir reembed --model NAME`.",
    ),
    "not-migrated": ProblemPage(
        503,
        "The database is not ready for this version",
        "It lacks tables or columns that this version of Misir works with.",
        "Run `misir migrate` as the login that owns the schema. The server notices by itself when it is "
        "done.",
    ),
    "migration-locked": ProblemPage(
        503,
        "Another migration is running",
        "Two migrations of one database would disturb each other, so the second one gave up waiting.",
        "Wait until the other is done, then run `misir migrate` again: repeating it is safe.",
    ),
    "migration-refused": ProblemPage(
        500,
        "The login may not change the schema",
        "Migrations create tables and roles, and the database login that was used may not do that.",
        "Set `DATABASE_MIGRATE_URL` to a login that owns the schema, then run `misir migrate`.",
    ),
    "no-login": ProblemPage(
        500,
        "There is no login that may migrate",
        "Migrations need a login that owns the schema, and none is configured. The one of `DATABASE_URL` is "
        "meant for the app only.",
        "Set `DATABASE_MIGRATE_URL`, then run the command again.",
    ),
    "no-port": ProblemPage(
        409,
        "Misir cannot listen there",
        "The address or port that Misir should serve is in use, or this user may not open it.",
        "End what uses it, or choose another with `--host` and `--port`.",
    ),
    "not-local": ProblemPage(
        409,
        "This database is not for local use",
        "`--local` lets everyone in who reaches the machine, so it only serves a database of its own.",
        "Unset `DATABASE_URL`, or leave `--local` out and sign in with tokens.",
    ),
    "no-server": ProblemPage(
        503,
        "No Misir answers at this address",
        "A command of `misir` talks to a running server, and found none.",
        "Start one with `misir serve --local`, or name the address of yours.",
    ),
    "refused": ProblemPage(
        400,
        "The server refused what the command sent",
        "A command of `misir` sent something that its server would not take; `detail` is the server's "
        "own reason.",
        "Read `detail`, and check that the address is that of a Misir of the same version.",
    ),
    "differs": ProblemPage(
        409,
        "What is stored is not what the log says",
        "`misir replay --check` computed every topic again from the log, and some numbers came out "
        "otherwise: something wrote past Misir, or the engine's numbers changed with an upgrade.",
        "Run `misir replay`, which stores what the log says. If it comes back, keep the output of `--check` "
        "and report it.",
    ),
    "quality-extra-missing": ProblemPage(
        500,
        "The quality report needs packages that are not installed",
        "Measuring compares Misir with other methods, which come in an extra that running it does not need.",
        "Run `pip install 'misir[quality]'`, then the command again.",
    ),
    "texts-unavailable": ProblemPage(
        503,
        "The texts to measure on could not be had",
        "The quality report reads public texts from packages of PyPI and Debian, and one of them could not "
        "be fetched.",
        "Check that pip and apt work on this machine, or choose other parts with `--only`.",
    ),
}
