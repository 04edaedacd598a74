"""`misir migrate`: the schema of this version, in whatever database is configured."""

from __future__ import annotations

from typing import Final

from psycopg.conninfo import conninfo_to_dict

from misir.embed.models import resolve_model
from misir.errors import MisirError
from misir.plumbing.migrate import migrate as migrate_database
from misir.plumbing.migrate import shipped_migrations
from misir.serve import attached, configure
from misir.settings import Settings
from misir.shell import AsJson, DataDir, out, print_json, steps

EXAMPLES: Final = ("misir migrate", "DATABASE_MIGRATE_URL=postgresql://owner@db/misir misir migrate")


def migrate_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Bring the database to the schema of this version; safe to repeat."""
    settings = configure(is_local=False, data_dir=data_dir)
    with attached(settings) as attachment, steps.status("Migrating …"):
        own = attachment and attachment.migrate_url
        applied = _migrate(settings, own or settings.DATABASE_MIGRATE_URL)
    n_all = len(shipped_migrations())
    if as_json:
        print_json({"applied": applied, "count": n_all})
    else:
        out.print(f"The schema is up to date: {n_all} migrations, {len(applied)} of them applied now.")


def _migrate(settings: Settings, url: str | None) -> list[str]:
    """With our own database, attaching has migrated already: this finds nothing left to do."""
    if not url:
        raise MisirError(
            500,
            "no-login",
            "DATABASE_URL is set, but DATABASE_MIGRATE_URL is not: set it to a login that owns the schema.",
        )
    return migrate_database(
        url,
        app_login=_login(settings.DATABASE_URL),
        service_login=_login(settings.DATABASE_SERVICE_URL),
        model=resolve_model(settings),
    )


def _login(url: str | None) -> str | None:
    """The role a URL logs in as. Supabase's pooler is told role.project; the role is what comes first."""
    parts = conninfo_to_dict(url) if url else {}
    user, is_pooler = str(parts.get("user") or ""), "pooler" in str(parts.get("host") or "")
    return (user.partition(".")[0] if is_pooler else user) or None
