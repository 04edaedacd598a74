"""`misir reembed`: change the embedding model of a library that exists."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress

from misir.embed.embedder import Embedder, build_embedder
from misir.errors import MisirError, conflict
from misir.plumbing.replica import Connection
from misir.reembed import move
from misir.reembed.move import Forecast, Standing, StoredModel
from misir.reembed.texts import OnStep, Work
from misir.serve import attached, configure
from misir.settings import Settings
from misir.shell import AsJson, DataDir, out, print_json, print_table, steps

EXAMPLES: Final = (
    "misir reembed --model nomic-ai/nomic-embed-text-v1.5 --dry-run",
    "misir reembed --model nomic-ai/nomic-embed-text-v1.5",
    "misir reembed --abandon",
)

Answer = dict[str, Any]


def reembed_command(
    *,
    model: Annotated[
        str | None, typer.Option(help="The model to move to. \\[default: what EMBEDDING_MODEL names]")
    ] = None,
    is_dry: Annotated[
        bool, typer.Option("--dry-run", help="Say how much there is to do, and how long it takes here.")
    ] = False,
    is_abandoning: Annotated[
        bool, typer.Option("--abandon", help="Drop what an unfinished move has prepared.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Embed every stored text again with another model, and move the library to it, all users' at once.

    Captures and searches go on with the old model until it is done. Ended at any point and repeated, it
    goes on where it was.
    """
    settings = configure(is_local=False, data_dir=data_dir)
    wanted = settings if model is None else settings.model_copy(update={"EMBEDDING_MODEL": model.strip()})
    with attached(settings) as attachment:
        url = attachment.migrate_url if attachment is not None else _owner_url(settings)
        answer = asyncio.run(_work(wanted, url, is_dry=is_dry, is_abandoning=is_abandoning))
    if as_json:
        print_json(answer)
    else:
        _show(answer, wanted.EMBEDDING_MODEL)


def _owner_url(settings: Settings) -> str:
    if not settings.DATABASE_MIGRATE_URL or not settings.DATABASE_SERVICE_URL:
        raise MisirError(
            500,
            "no-login",
            "DATABASE_URL is set: `misir reembed` needs DATABASE_MIGRATE_URL, a login that owns the schema, "
            "and DATABASE_SERVICE_URL, the login of the service role.",
        )
    return settings.DATABASE_MIGRATE_URL


async def _work(settings: Settings, url: str, *, is_dry: bool, is_abandoning: bool) -> Answer:
    async with move.alone(url) as owner:
        standing = await move.read_standing(owner)
        if is_abandoning:
            return await _abandon(owner, standing)
        embedder = build_embedder(settings)
        answer = {"from": standing.model.fingerprint, "to": embedder.fingerprint}
        if is_dry:
            return answer | {"state": "dry-run"} | await _forecast(settings, embedder, standing)
        return answer | await _move(settings, embedder, owner, standing, url)


async def _abandon(owner: Connection, standing: Standing) -> Answer:
    if not standing.is_under_way:
        raise conflict("No move to another model is under way.")
    await move.abandon(owner)
    return {"from": standing.model.fingerprint, "to": None, "state": "abandoned"}


async def _forecast(settings: Settings, embedder: Embedder, standing: Standing) -> Answer:
    async with move.opened(settings, embedder, standing.model) as res:
        found: Forecast = await move.forecast(res)
    return asdict(found.work) | {"seconds_per_text": found.seconds_per_text, "seconds": found.seconds}


async def _move(
    settings: Settings, embedder: Embedder, owner: Connection, standing: Standing, url: str
) -> Answer:
    is_there = standing.model.fingerprint == embedder.fingerprint
    if is_there and not standing.is_unfinished:
        return {"state": "already"}
    work: Work | None = None
    if not is_there:
        async with move.opened(settings, embedder, standing.model) as res:
            work = await move.move(owner, res, standing.model, _bar)
    new = StoredModel(embedder.fingerprint, embedder.dimension)
    async with move.opened(settings, build_embedder(settings), new, with_model=False) as res:
        await move.finish(res, url, embedder.spec, _bar)
    return {"state": "moved"} | ({} if work is None else asdict(work))


@contextmanager
def _bar(title: str, total: int) -> Iterator[OnStep]:
    with Progress(console=steps, transient=True, disable=not steps.is_terminal) as bar:
        task = bar.add_task(title, total=total)
        yield lambda n: bar.advance(task, n)


def _show(answer: Answer, model: str) -> None:
    if "texts" in answer:
        names = ("texts", "without_text", "markers", "intentions")
        print_table(["texts", "without text", "markers", "intentions"], [[answer[name] for name in names]])
    out.print(_sentence(answer, model), markup=False, soft_wrap=True)


def _sentence(answer: Answer, model: str) -> str:
    if answer["state"] == "abandoned":
        return f"What was prepared is gone; the library stays with {answer['from']}."
    if answer["state"] == "already":
        return f"The library is of {answer['to']} already."
    if answer["state"] == "moved":
        return (
            f"The library is of {answer['to']} now. Set EMBEDDING_MODEL={model} and restart what runs: "
            "with the old model it is refused."
        )
    if answer["seconds"] is None:
        return "Nothing has to be embedded; nothing was written."
    ms = answer["seconds_per_text"] * 1000
    return f"{ms:.0f} ms a text here, about {_duration(answer['seconds'])} in all. Nothing was written."


def _duration(seconds: float) -> str:
    """In the unit one would say it in.

    >>> _duration(0.2), _duration(12.4), _duration(150.0), _duration(9000.0)
    ('a second', '12 seconds', '2.5 minutes', '2.5 hours')
    """
    if seconds < 1.5:
        return "a second"
    if seconds < 100:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.1f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
