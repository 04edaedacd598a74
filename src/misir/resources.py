"""What a process holds open while it runs: built once, passed as an argument, closed at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from misir.embed.calibration import Calibration
from misir.embed.embedder import Embedder, build_embedder
from misir.embed.place import is_shared
from misir.embed.shared import Launcher, shared_embedder
from misir.errors import MisirError
from misir.orient.config import EngineConfig
from misir.plumbing.auth import Verifier
from misir.plumbing.db import Database
from misir.plumbing.identity import build_sign_in, build_verifier
from misir.plumbing.limiter import Limiter
from misir.plumbing.seal import Seal, read_key
from misir.plumbing.sign_in import SignIn
from misir.plumbing.supervisor import Attachment, attach
from misir.plumbing.turns import Turns
from misir.settings import Settings

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
N_EXTRACTING = 2
"""Child processes that read pages and PDFs at the same time: each may take a gigabyte."""


@dataclass
class Resources:
    settings: Settings
    embedder: Embedder
    verifier: Verifier
    limiter: Limiter | None
    sign_in: SignIn | None = None
    database: Database = field(init=False)
    config: EngineConfig = field(default_factory=EngineConfig)
    attachment: Attachment | None = None
    has_work: asyncio.Event = field(default_factory=asyncio.Event)
    turns: Turns = field(default_factory=Turns)
    key_turns: Turns = field(default_factory=Turns)
    extracting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(N_EXTRACTING))
    queue_age_s: float | None = None
    _seal: Seal | None = None
    _loading: asyncio.Task[None] | None = None
    _keeping: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.database = Database(
            self.locate_database,
            self.embedder.spec,
            locate_service=self.locate_service,
            use_numbers=self._use_stored,
            pool_size=self.settings.DB_POOL_SIZE,
            is_preparing=self.settings.DB_PREPARE,
            replica_url=self.settings.DATABASE_REPLICA_URL,
        )

    async def locate_database(self) -> str:
        """DATABASE_URL, or the embedded server of the data directory, started when nobody runs it yet."""
        if self.settings.DATABASE_URL:
            return self.settings.DATABASE_URL
        if self.attachment is None:
            self.attachment = await attach(self.settings.data_dir)
            self._keeping = asyncio.create_task(self._stay_attached(), name="stay attached")
        return self.attachment.database_url

    async def _stay_attached(self) -> None:
        """When the embedded server's owner died, start it again: the address stays, the pool reconnects."""
        while self.attachment is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self.attachment.lost:
                continue
            log.warning("the embedded database's supervisor is gone: starting another")
            with suppress(MisirError):  # tried again a moment later; readiness says that it is down
                self.attachment = await asyncio.to_thread(self.attachment.reattach)

    def use_numbers(self, config: EngineConfig, calibration: Calibration | None) -> None:
        """Decide by these from now on; a calibration of None is the one shipped for the model."""
        self.config = config
        self.embedder.own_calibration = calibration

    def _use_stored(self, stored: Mapping[str, Any]) -> None:
        """What the database keeps, over what is shipped. Raises MisirError 503 for what cannot be used."""
        self.use_numbers(EngineConfig(), None)
        if stored:
            self.use_numbers(*read_stored(stored, self.embedder.calibration))

    def wake_worker(self) -> None:
        """A transaction that left work has been committed: this process's worker need not wait to be told."""
        self.has_work.set()

    def seal(self) -> Seal:
        """What seals stored secrets. Raises MisirError 503 where no key is set and none can be made."""
        if self._seal is None:
            data_dir = None if self.settings.DATABASE_URL else self.settings.data_dir
            self._seal = Seal(read_key(self.settings.MISIR_SECRET_KEY, data_dir))
        return self._seal

    def locate_service(self) -> str | None:
        """The login of the service role: DATABASE_SERVICE_URL, or the embedded server's."""
        if self.settings.DATABASE_URL:
            return self.settings.DATABASE_SERVICE_URL
        return None if self.attachment is None else self.attachment.service_url

    def ask_for_embedder(self) -> None:
        """Have the process started that embeds for all workers: by the supervisor, where there is one."""
        if self.settings.DATABASE_URL:
            self.launcher()
        elif self.attachment is not None:
            self.attachment.ask_for_embedder()

    @cached_property
    def launcher(self) -> Launcher:
        return Launcher(self.settings)

    async def start(self, *, with_model: bool = True) -> None:
        """Open the database and load the model, side by side; neither being there is not an error here."""
        if with_model:
            self._loading = asyncio.create_task(self._load_model(), name="load model")
        if self.limiter is not None:
            await self.limiter.open()
        await self.database.start()

    async def _load_model(self) -> None:
        try:
            await self.embedder.load()
        except MisirError as error:
            log.warning("%s", error.detail)

    async def close(self) -> None:
        if self._loading is not None:
            await self._loading
        await self.database.close()
        await self.embedder.aclose()
        await self.verifier.aclose()
        if self.limiter is not None:
            await self.limiter.close()
        if self._keeping is not None:
            self._keeping.cancel()
        if self.attachment is not None:
            await asyncio.to_thread(self.attachment.close)


def read_stored(stored: Mapping[str, Any], shipped: Calibration) -> tuple[EngineConfig, Calibration]:
    """The config and the calibration in system_config; a number it does not name is the shipped one."""
    try:
        config = EngineConfig.from_json(stored.get("engine", {}))
        return config, replace(shipped, **stored.get("calibration", {}))
    except (ValueError, TypeError) as error:
        raise MisirError(
            503,
            "settings",
            f"The numbers in system_config cannot be used: {error} Mend that row, or delete it.",
            headers={"Retry-After": "60"},
        ) from None


def build_resources(settings: Settings, *, embedder: Embedder | None = None) -> Resources:
    """Opens nothing: `start` does."""
    if embedder is None and is_shared(settings):
        embedder = shared_embedder(settings, lambda: res.ask_for_embedder())  # noqa: PLW0108 - `res` comes later
    verifier = build_verifier(settings)
    embedder = embedder or build_embedder(settings)
    res = Resources(settings, embedder, verifier, build_limiter(settings), build_sign_in(settings))
    return res


def build_limiter(settings: Settings) -> Limiter | None:
    """None when limits are switched off."""
    if not settings.RATE_LIMIT_ENABLED:
        return None
    redis_url = settings.REDIS_URL if settings.RATE_LIMIT_STORAGE == "redis" else None
    return Limiter(redis_url=redis_url, workers=settings.RATE_LIMIT_WORKERS)


@asynccontextmanager
async def opened(settings: Settings, *, with_model: bool = True) -> AsyncIterator[Resources]:
    """Misir in this process, as a server's worker holds it. Raises MisirError where it would answer 503."""
    logging.disable(logging.CRITICAL)  # what the log would say of the start, the sentence says
    try:
        res = build_resources(settings)
        await res.start(with_model=with_model)
    finally:
        logging.disable(logging.NOTSET)
    async with usable(res):
        yield res


@asynccontextmanager
async def usable(res: Resources) -> AsyncIterator[None]:
    """What was started is closed after the block. Raises MisirError where the database is of no use."""
    try:
        if res.database.problem is not None:
            raise res.database.problem
        yield
    finally:
        await res.close()
