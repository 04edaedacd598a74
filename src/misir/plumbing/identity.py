"""Which verifier the settings ask for; settings that cannot be safe are refused with one sentence."""

from __future__ import annotations

import ipaddress
import logging
from urllib.parse import urlsplit

from misir.errors import MisirError
from misir.plumbing.auth import LocalUser, NoProvider, RemoteCheck, SupabaseTokens, Verifier
from misir.plumbing.jwks import KeySet
from misir.plumbing.sign_in import SignIn
from misir.plumbing.token import Rules
from misir.settings import Settings

log = logging.getLogger(__name__)


def build_verifier(settings: Settings) -> Verifier:
    """Opens nothing. Raises MisirError for a mock user in production and for a wrong SUPABASE_URL."""
    if settings.MOCK_AUTH:
        return _local_user(settings)
    if settings.SUPABASE_URL is None:
        return NoProvider()
    base = _base_url(settings.SUPABASE_URL)
    rules = Rules(f"{base}/auth/v1", allows_anonymous=settings.ALLOW_ANONYMOUS_USERS)
    if settings.SUPABASE_JWT_SECRET is not None:
        return SupabaseTokens(rules, secret=settings.SUPABASE_JWT_SECRET)
    if settings.SUPABASE_AUTH_REMOTE:
        return RemoteCheck(rules, base, settings.SUPABASE_KEY or "")
    return SupabaseTokens(rules, keys=KeySet(f"{base}/auth/v1/.well-known/jwks.json"))


def build_sign_in(settings: Settings) -> SignIn | None:
    """For the web app's sign-in page; None where nobody signs in, or SUPABASE_KEY is missing."""
    if settings.MOCK_AUTH or settings.SUPABASE_URL is None or not settings.SUPABASE_KEY:
        return None
    return SignIn(_base_url(settings.SUPABASE_URL), settings.SUPABASE_KEY)


def _local_user(settings: Settings) -> LocalUser:
    if settings.APP_ENV == "production":
        raise _refusal("MOCK_AUTH=True lets everybody in, and APP_ENV is production: set MOCK_AUTH=False.")
    if settings.SUPABASE_URL is not None and not _is_local(settings.SUPABASE_URL):
        raise _refusal(
            "MOCK_AUTH=True lets everybody in, but SUPABASE_URL names a real project: unset one of them."
        )
    log.warning(
        "MOCK_AUTH=True: everybody on this machine is user %s; nobody signs in", settings.mock_user_id
    )
    return LocalUser(settings.mock_user_id, is_remote_allowed=settings.MOCK_AUTH_ALLOW_REMOTE)


def _base_url(url: str) -> str:
    """The project's address without a slash at the end; https, unless it is on this machine."""
    parts = urlsplit(url.strip())
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise _refusal("The setting SUPABASE_URL is wrong: it is written https://your-project.supabase.co.")
    if parts.scheme == "http" and not _is_local(url):
        raise _refusal(
            "The setting SUPABASE_URL is wrong: keys fetched over plain http can be forged, use https."
        )
    return url.strip().rstrip("/")


def _is_local(url: str) -> bool:
    host = urlsplit(url.strip()).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refusal(detail: str) -> MisirError:
    return MisirError(500, "settings", detail)
