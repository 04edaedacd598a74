"""URLs: one key per page, used by capture, batch, import and lookup (data.md, "URL normalisation").

RFC 3986 §6.2 syntax-based normalisation, plus what makes two addresses one page: tracking parameters,
fragments, http or https, a mobile or AMP host. `rel=canonical` is the caller's: it passes that URL instead.
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import quote

import idna

MAX_URL_LENGTH = 8192
MAX_HOST_LENGTH = 253
WEB_SCHEMES = frozenset({"http", "https"})
BROWSER_SCHEMES = frozenset(
    {"about", "brave", "chrome", "chrome-extension", "edge", "moz-extension", "opera", "resource"}
    | {"safari-web-extension", "view-source", "vivaldi"}
)
LOCAL_SCHEMES = BROWSER_SCHEMES | {"note", "chat", "file"}
DEFAULT_PORTS = frozenset({80, 443})
"""Both, whatever the scheme: http and https are one key, so their ports must be too."""

VARIANT_LABELS = frozenset({"m", "amp", "www"})
TRACKING_PREFIXES = ("utm_", "mtm_", "pk_")
TRACKING_PARAMETERS = frozenset(
    {"fbclid", "gclid", "gclsrc", "dclid", "gbraid", "wbraid", "srsltid", "_ga", "_gl", "msclkid", "yclid"}
    | {"ysclid", "_openstat", "igshid", "igsh", "twclid", "ttclid", "li_fat_id", "epik", "mc_cid", "mc_eid"}
    | {"_hsenc", "_hsmi", "__hssc", "__hstc", "__hsfp", "hsctatracking", "mkt_tok", "vero_id", "vero_conv"}
    | {"oly_anon_id", "oly_enc_id", "rb_clickid", "wickedid", "ml_subscriber", "ml_subscriber_hash"}
)

# RFC 3986 appendix B, and §3.2 for the authority.
_URL = re.compile(r"(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]{0,5}))?")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_ESCAPE_OR_FOREIGN = re.compile(r"%[0-9A-Fa-f]{2}|[^A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class _Parts(NamedTuple):
    scheme: str
    authority: str
    path: str
    query: str
    fragment: str


def normalise_url(url: str) -> str:
    """The key of a page: two addresses with one key are the same page. Idempotent (data.md).

    A URL that cannot be one (no host, bad port, control characters, over 8,192 characters, unknown scheme)
    is a ValueError of one sentence.

    >>> normalise_url("HTTP://Me:pw@M.Example.COM:80/a/./b/?utm_source=x&b=2&a=%7e#top")
    'https://example.com/a/b?a=~&b=2'
    >>> normalise_url("note: 2026-05-01/Soil ")
    'note:2026-05-01/Soil'
    """
    text = _checked(url)
    parts = _split(text)
    key = _web_key(parts) if parts.scheme in WEB_SCHEMES else _local_key(parts.scheme, text)
    if len(key) > MAX_URL_LENGTH:
        raise ValueError(f"The URL is longer than {MAX_URL_LENGTH} characters once encoded.")
    return key


def domain_of(url: str) -> str | None:
    """The host of a web page's key without `www.`; None for notes, chats, files and the browser's own pages.

    >>> domain_of("https://www.example.com:8443/a"), domain_of("file:///home/me/a.pdf")
    ('example.com', None)
    """
    parts = _split(_checked(url))
    if parts.scheme not in WEB_SCHEMES:
        return None
    host, _ = _host_and_port(parts.authority)
    bare = host.removeprefix("www.")
    return bare if "." in bare else host


def is_local(url: str) -> bool:
    """Is it a file or one of the browser's own pages? Such captures have source other (api.md).

    >>> is_local("file:///home/me/a.pdf"), is_local("note:1"), is_local("https://example.com")
    (True, False, False)
    """
    return _split(_checked(url)).scheme in BROWSER_SCHEMES | {"file"}


def _checked(url: str) -> str:
    text = url.strip()
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"The URL is longer than {MAX_URL_LENGTH} characters.")
    if _CONTROL.search(text):
        raise ValueError("The URL contains control characters.")
    return text


def _split(text: str) -> _Parts:
    scheme, *rest = _URL.findall(text)[0]
    if scheme.lower() not in WEB_SCHEMES | LOCAL_SCHEMES:
        raise ValueError(
            "The URL must begin with http:, https:, note:, chat:, file: or a browser's own scheme."
        )
    return _Parts(scheme.lower(), *rest)


def _local_key(scheme: str, text: str) -> str:
    """The address as it is, its scheme in lower case; of a file, without the fragment and evenly encoded."""
    body = text.partition(":")[2].strip()
    if scheme == "file":
        body = _encoded(body.partition("#")[0].strip())
    if not body:
        raise ValueError(f"The URL has nothing after {scheme}:.")
    return f"{scheme}:{body}"


def _web_key(parts: _Parts) -> str:
    host, port = _host_and_port(parts.authority)
    authority = host if port is None else f"{host}:{port}"
    query = _query(parts.query)
    fragment = _encoded(parts.fragment) if parts.fragment.startswith(("!", "/")) else ""
    return f"https://{authority}{_path(parts.path)}" + (query and f"?{query}") + (fragment and f"#{fragment}")


def _host_and_port(authority: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(authority.rpartition("@")[2])
    if match is None or int(match[2] or 0) > 65535:
        raise ValueError("The URL's host and port must read like example.com:8080.")
    port = int(match[2]) if match[2] else None
    return _host(match[1]), None if port in DEFAULT_PORTS else port


def _host(host: str) -> str:
    if not host:
        raise ValueError("The URL has no host.")
    if host.startswith("["):
        return _ipv6(host[1:-1])
    labels = _idna(host).removesuffix(".").split(".")
    if not all(map(_LABEL.fullmatch, labels)) or len(".".join(labels)) > MAX_HOST_LENGTH:
        raise ValueError("The URL's host is not a valid name.")
    return ".".join(_without_variants(labels))


def _ipv6(address: str) -> str:
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        parsed = None
    if parsed is None or parsed.scope_id is not None:
        raise ValueError("The URL's host is not a valid IPv6 address.")
    return f"[{parsed.compressed}]"


def _idna(host: str) -> str:
    """Lower case, and A-labels for what is not ASCII (UTS 46, non-transitional).

    ASCII labels stay as they are: `_dmarc.example` and `r3---sn.example` exist although IDNA forbids them.
    """
    if host.isascii():
        return host.lower()
    if len(host) > MAX_HOST_LENGTH:
        raise ValueError("The URL's host is not a valid name.")
    try:
        labels = idna.uts46_remap(host, std3_rules=False, transitional=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
    except UnicodeError:
        raise ValueError("The URL's host is not a valid international name.") from None


def _without_variants(labels: list[str]) -> list[str]:
    """www.example.org, m.example.org are example.org, en.m.example.org is en.example.org; m.me stays."""
    for position in (0, 1):
        if len(labels) > position + 2 and labels[position] in VARIANT_LABELS:
            return _without_variants(labels[:position] + labels[position + 1 :])
    return labels


def _path(path: str) -> str:
    """Encoded evenly, dot segments removed (RFC 3986 §5.2.4), without trailing slashes."""
    kept: list[str] = []
    for segment in _encoded(path).split("/")[1:]:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    return "".join(f"/{segment}" for segment in kept).rstrip("/")


def _query(query: str) -> str:
    """The parameters that choose the page, sorted by name; those of one name keep their order."""
    pieces = [piece for piece in _encoded(query).split("&") if piece and not _is_tracking(_name(piece))]
    return "&".join(sorted(pieces, key=_name))


def _name(piece: str) -> str:
    return piece.partition("=")[0]


def _is_tracking(name: str) -> bool:
    plain = name.lower()
    return plain.startswith(TRACKING_PREFIXES) or plain in TRACKING_PARAMETERS


def _encoded(text: str) -> str:
    """Percent-encoding made even (RFC 3986 §6.2.2): upper-case hex, unreserved plain, the rest escaped."""
    return _ESCAPE_OR_FOREIGN.sub(lambda match: _escape(match[0]), text)


def _escape(token: str) -> str:
    if len(token) == 1:
        return quote(token, safe="")
    character = chr(int(token[1:], 16))
    return character if character in _UNRESERVED else token.upper()
