"""Tokens that must be refused, tokens that must not, and a key server that comes and goes."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from misir.errors import MisirError
from misir.plumbing.identity import build_verifier
from misir.plumbing.jwks import KeySet, KeysUnavailableError, read_keys
from misir.settings import Settings

ME = "7d3c1f5e-0d53-4d5b-9d57-2d5a8a6f4c11"
SECRET = "an-hs256-secret-of-at-least-32-bytes!"


def b64(data: Any) -> str:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hostile_tokens(project: Any) -> dict[str, str]:
    """At least a hundred ways to lie. None may be accepted; all must look the same."""
    now = int(time.time())
    good = project.token()
    header, payload, signature = good.split(".")
    other = ec.generate_private_key(ec.SECP256R1())
    public_pem = (
        project.private["rsa-1"][1].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    public_der = (
        project.private["rsa-1"][1].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )

    def hs256(key: bytes, head: dict[str, Any]) -> str:
        signed = f"{b64(head)}.{b64(project.claims())}"
        return f"{signed}.{b64(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"

    bad: dict[str, str] = {}
    for name, text in {
        "one part": "abc", "two parts": "abc.def", "four parts": "a.b.c.d", "dots": "...", "no header": f".{payload}.{signature}",
        "no payload": f"{header}..{signature}", "no signature": f"{header}.{payload}.", "no json": "AAAA.BBBB.CCCC", "padding": f"{header}=.{payload}.{signature}",
        "junk after": f"{good}.x", "too long": f"{header}.{'A' * 9000}.{signature}", "header list": f"{b64([])}.{payload}.{signature}",
        "header null": f"{b64(None)}.{payload}.{signature}", "payload list": f"{header}.{b64([])}.{signature}", "unicode": f"{header}.{payload}.ü",
        "deep header": f"{b64(b'[' * 3000)}.{payload}.{signature}", "spaces": f"{header} .{payload}.{signature}", "API key": "misir_00000000_" + "A" * 43,
        "API key short": "misir_", "API key odd": "misir_zzzzzzzz_" + "é" * 43,
    }.items():  # fmt: skip
        bad[f"shape: {name}"] = text
    for alg in (
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "HS256",
        "HS384",
        "HS512",
        "RS384",
        "RS512",
        "ES384",
        "ES512",
        "PS256",
        "EdDSA",
        "es256",
        1,
        None,
        True,
        ["ES256"],
        {},
    ):
        bad[f"alg {alg!r}"] = f"{b64({'alg': alg, 'kid': 'ec-1', 'typ': 'JWT'})}.{payload}.{signature}"
        bad[f"alg {alg!r} unsigned"] = f"{b64({'alg': alg, 'kid': 'ec-1'})}.{payload}."
    for kid in (
        None,
        1,
        True,
        [],
        {},
        "",
        "unknown",
        "EC-1",
        "ec-1 ",
        "../ec-1",
        "x" * 300,
        "ec-1\x00",
        "' or 1=1 --",
        "/dev/null",
        "http://evil.example/k",
    ):
        bad[f"kid {kid!r}"] = f"{b64({'alg': 'ES256', 'kid': kid})}.{payload}.{signature}"
    bad["kid of the other algorithm"] = f"{b64({'alg': 'ES256', 'kid': 'rsa-1'})}.{payload}.{signature}"
    bad["alg of the other key"] = f"{b64({'alg': 'RS256', 'kid': 'ec-1'})}.{payload}.{signature}"
    for extra in (
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"crit": ["b64"], "b64": False},
    ):
        bad[f"header {extra}"] = project.token(header=extra)
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(other.public_key(), as_dict=True)
    for name, head in {
        "jwk": {"jwk": jwk},
        "jku": {"jku": "http://evil.example/jwks"},
        "x5u": {"x5u": "http://evil.example/c"},
        "x5c": {"x5c": ["AAAA"]},
    }.items():
        bad[f"key brought along: {name}"] = jwt.encode(
            project.claims(), other, "ES256", headers={"kid": "ec-1", **head}
        )
    bad["signed by a stranger"] = jwt.encode(project.claims(), other, "ES256", headers={"kid": "ec-1"})
    bad["public PEM as secret"] = hs256(public_pem, {"alg": "HS256", "kid": "rsa-1"})
    bad["public DER as secret"] = hs256(public_der, {"alg": "HS256", "kid": "rsa-1"})
    bad["empty secret"] = hs256(b"", {"alg": "HS256", "kid": "ec-1"})
    bad["null signature"] = f"{header}.{payload}.{b64(bytes(64))}"
    bad["signature respelled"] = f"{header}.{payload}.{respelled(signature)}"
    bad["signature cut"] = f"{header}.{payload}.{signature[:-4]}"
    flipped = "A" if signature[10] != "A" else "B"
    bad["signature changed"] = f"{header}.{payload}.{signature[:10]}{flipped}{signature[11:]}"
    bad["payload changed"] = (
        f"{header}.{b64(project.claims(sub='00000000-0000-4000-8000-000000000000'))}.{signature}"
    )
    bad["header changed"] = f"{b64({'alg': 'ES256', 'kid': 'ec-1', 'x': 1})}.{payload}.{signature}"
    for claim in ("exp", "iat", "sub", "role", "aud", "iss"):
        bad[f"without {claim}"] = project.token(**{claim: None})
    for name, changes in {
        "expired": {"exp": now - 31}, "expired long ago": {"exp": 1}, "exp zero": {"exp": 0}, "exp negative": {"exp": -1}, "exp text": {"exp": str(now + 99)},
        "exp flag": {"exp": True}, "exp list": {"exp": [now + 99]}, "exp object": {"exp": {}}, "iat ahead": {"iat": now + 300}, "iat text": {"iat": "now"},
        "iat flag": {"iat": True}, "not yet": {"nbf": now + 300}, "nbf text": {"nbf": "soon"}, "wrong issuer": {"iss": "https://evil.example/auth/v1"},
        "issuer slash": {"iss": f"{project.url}/auth/v1/"}, "issuer list": {"iss": [f"{project.url}/auth/v1"]}, "issuer prefix": {"iss": project.url},
        "other audience": {"aud": "anon"}, "audience list": {"aud": ["authenticated"]}, "audience mix": {"aud": ["authenticated", "x"]}, "audience empty": {"aud": ""},
        "anon role": {"role": "anon"}, "service role": {"role": "service_role"}, "admin role": {"role": "supabase_admin"}, "role list": {"role": ["authenticated"]},
        "role case": {"role": "Authenticated"}, "sub no uuid": {"sub": "admin"}, "sub empty": {"sub": ""}, "sub number": {"sub": 7}, "sub upper": {"sub": ME.upper()},
        "sub braces": {"sub": f"{{{ME}}}"}, "sub urn": {"sub": f"urn:uuid:{ME}"}, "sub no dashes": {"sub": ME.replace("-", "")}, "sub sql": {"sub": f"{ME}' or '1'='1"},
        "sub list": {"sub": [ME]}, "anonymous": {"is_anonymous": True}, "anonymous text": {"is_anonymous": "true"}, "anonymous number": {"is_anonymous": 1},
        "anonymous zero": {"is_anonymous": 0}, "anonymous list": {"is_anonymous": []}, "not yet null": {"nbf": None}, "exp endless": {"exp": float("inf")},
        "exp nowhere": {"exp": float("nan")}, "iat endless": {"iat": float("-inf")}, "nbf flag": {"nbf": True}, "exp huge": {"exp": 10**400},
    }.items():  # fmt: skip
        bad[f"claim: {name}"] = raw_token(project, project.claims() | changes)
    return bad


def respelled(segment: str) -> str:
    """The same bytes by another last letter, whose lowest bits are not of any byte (86 letters: 64 bytes and 4 bits)."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return segment[:-1] + letters[letters.index(segment[-1]) ^ 1]


def raw_token(project: Any, claims: dict[str, Any]) -> str:
    """Signed by the project's own key, whatever the claims say: libraries refuse to sign some of them."""
    signed = f"{b64({'alg': 'RS256', 'kid': 'rsa-1', 'typ': 'JWT'})}.{b64(claims)}"
    key = project.private["rsa-1"][1]
    return f"{signed}.{b64(jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(signed.encode(), key))}"


def test_hostile_tokens_are_refused_alike_without_asking_anybody(
    guarded: httpx.Client, project: Any, ask: Any
) -> None:
    assert ask(guarded, project.token()).status_code == 200
    n_calls = len(project.requests)
    bodies = set()
    tokens = hostile_tokens(project)
    assert len(tokens) >= 100
    for name, token in tokens.items():
        answer = guarded.get("/api/v1/capture", headers=[(b"Authorization", f"Bearer {token}".encode())])
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"] == "Bearer"
        body = answer.json()
        assert body.pop("request_id")
        bodies.add(json.dumps(body, sort_keys=True))
    assert len(bodies) == 1
    assert len(project.requests) == n_calls


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("Authorization", "")],
        [("Authorization", "Bearer")],
        [("Authorization", "Basic dTpw")],
        [("Authorization", "Bearer {token}"), ("Authorization", "Bearer {token}")],
        [("Authorization", "Bearer {token} {token}")],
        [("X-Authorization", "Bearer {token}")],
        [("Cookie", "access_token={token}")],
    ],
)
def test_a_token_travels_in_one_authorization_header_only(
    guarded: httpx.Client, project: Any, headers: list[tuple[str, str]]
) -> None:
    token = project.token()
    sent = [(name, value.replace("{token}", token)) for name, value in headers]
    assert guarded.get("/api/v1/capture", headers=sent).status_code == 401
    assert guarded.get("/api/v1/capture", params={"access_token": token}).status_code == 401


@pytest.mark.parametrize("kid", ["ec-1", "rsa-1"])
def test_valid_tokens_of_both_algorithms_say_who_one_is(
    guarded: httpx.Client, project: Any, ask: Any, kid: str
) -> None:
    answer = ask(guarded, project.token(kid))
    assert (answer.status_code, answer.json()["user_id"]) == (200, ME)
    assert (
        guarded.get("/api/v1/capture", headers={"Authorization": f"bearer  {project.token(kid)}"}).status_code
        == 200
    )


def test_a_clock_may_be_a_little_off(guarded: httpx.Client, project: Any, ask: Any) -> None:
    now = int(time.time())
    assert ask(guarded, project.token(exp=now - 20)).status_code == 200
    assert ask(guarded, project.token(iat=now + 20, nbf=now + 20)).status_code == 200


def test_anonymous_sign_ins_are_a_setting(
    run_app: Callable[..., httpx.Client], project: Any, ask: Any
) -> None:
    client = run_app(MOCK_AUTH=False, SUPABASE_URL=project.url, ALLOW_ANONYMOUS_USERS=True)
    assert ask(client, project.token(is_anonymous=True)).status_code == 200


def test_nobody_may_claim_to_be_somebody_else(guarded: httpx.Client, project: Any) -> None:
    guarded.headers["Authorization"] = f"Bearer {project.token()}"
    for same in (ME, ME.upper(), ""):
        assert guarded.get("/api/v1/spaces", params={"user_id": same}).status_code == 200
        assert guarded.post("/api/v1/spaces", json={"name": "S", "user_id": same}).status_code == 201
    other = "00000000-0000-4000-8000-000000000000"
    assert guarded.get("/api/v1/spaces", params={"user_id": other}).status_code == 403
    for path, body in {
        "/spaces": {"name": "S"},
        "/capture": {"space_id": 1, "url": "https://a.example", "title": "t"},
        "/search": {"q": "x"},
    }.items():
        assert guarded.post(f"/api/v1{path}", json={**body, "user_id": other}).status_code == 403
    assert guarded.patch("/api/v1/artifacts/1", json={"title": "t", "user_id": other}).status_code == 403


# ---- the key server ----------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def keyset(project: Any, **options: Any) -> tuple[KeySet, Clock]:
    clock = Clock()
    return KeySet(f"{project.url}/auth/v1/.well-known/jwks.json", clock=clock, **options), clock


def test_five_hundred_cold_requests_fetch_once(project: Any) -> None:
    async def run() -> None:
        keys, _ = keyset(project)
        project.delay_s = 0.1
        found = await asyncio.gather(*(keys.find("ec-1") for _ in range(500)))
        assert all(key is not None for key in found)
        await keys.aclose()

    asyncio.run(run())
    assert len(project.requests) == 1


def test_ten_thousand_unknown_ids_fetch_once_per_cooldown(project: Any) -> None:
    async def run() -> None:
        keys, clock = keyset(project)
        assert await keys.find("ec-1") is not None
        for number in range(10_000):
            assert await keys.find(f"unknown-{number}") is None
        assert len(project.requests) == 1
        clock.now += 11
        for number in range(1000):
            assert await keys.find(f"unknown-{number}") is None
        assert len(project.requests) == 2
        await keys.aclose()

    asyncio.run(run())


def test_a_new_key_is_found_and_a_dropped_one_forgotten(project: Any) -> None:
    async def run() -> None:
        keys, clock = keyset(project)
        assert await keys.find("ec-1") is not None
        project.add_key("ec-2", "ES256")
        project.drop_key("ec-1")
        clock.now += 11
        assert await keys.find("ec-2") is not None
        assert await keys.find("ec-1") is None
        await keys.aclose()

    asyncio.run(run())


def test_a_dead_key_server_refuses_no_valid_token(project: Any) -> None:
    async def run() -> None:
        keys, clock = keyset(project)
        assert await keys.find("ec-1") is not None
        project.status = 500
        for _ in range(20):
            clock.now += 301
            assert await keys.find("ec-1") is not None
        with pytest.raises(KeysUnavailableError):
            await keys.find("unknown")
        clock.now += 24 * 3600
        with pytest.raises(KeysUnavailableError):
            await keys.find("ec-1")
        await keys.aclose()

    asyncio.run(run())


def test_without_any_key_it_is_503_and_then_works(
    run_app: Callable[..., httpx.Client], project: Any, ask: Any
) -> None:
    project.status = 503
    client = run_app(MOCK_AUTH=False, SUPABASE_URL=project.url)
    answer = ask(client, project.token())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert ask(client, None).status_code == 401
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: ask(client, project.token()).status_code, range(40))) == {503}
    assert len(project.requests) == 1  # the cooldown counts failures, too


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{}", b'{"keys": 1}', b"x" * 300_000, b'{"keys": [1, null, {"kid": 7}]}']
)
def test_a_key_server_that_talks_nonsense_is_no_key_server(project: Any, body: bytes) -> None:
    async def run() -> None:
        keys, _ = keyset(project)
        project.body = body or b" "
        with suppress(KeysUnavailableError):
            assert await keys.find("ec-1") is None
        await keys.aclose()

    asyncio.run(run())


def test_only_public_signing_keys_are_read(project: Any) -> None:
    good = project.published[0]
    odd = [
        {**good, "use": "enc"}, {**good, "alg": "RS256"}, {**good, "kty": "RSA"}, {**good, "crv": "P-384"}, {**good, "x": "AAAA"},
        {**good, "kid": "x" * 300}, {"kty": "oct", "kid": "s", "k": "AAAA"}, {k: v for k, v in good.items() if k != "kid"},
    ]  # fmt: skip
    assert read_keys({"keys": odd}) == {}
    assert set(read_keys({"keys": [*odd, good]})) == {"ec-1"}
    assert set(read_keys({"keys": [{k: v for k, v in good.items() if k not in {"alg", "use"}}]})) == {"ec-1"}


# ---- projects that sign with a shared secret --------------------------------------------------------


def test_a_shared_secret_accepts_its_own_tokens_only(
    run_app: Callable[..., httpx.Client], project: Any, ask: Any
) -> None:
    client = run_app(MOCK_AUTH=False, SUPABASE_URL=project.url, SUPABASE_JWT_SECRET=SECRET)
    assert ask(client, jwt.encode(project.claims(), SECRET, "HS256")).status_code == 200
    assert ask(client, jwt.encode(project.claims(), SECRET[::-1], "HS256")).status_code == 401
    assert ask(client, project.token()).status_code == 401
    assert project.requests == []


def test_the_remote_check_asks_about_plausible_tokens_only_and_believes_the_answer(
    run_app: Callable[..., httpx.Client], project: Any, ask: Any
) -> None:
    client = run_app(
        MOCK_AUTH=False, SUPABASE_URL=project.url, SUPABASE_AUTH_REMOTE=True, SUPABASE_KEY="anon"
    )
    token = jwt.encode(project.claims(), SECRET, "HS256")
    assert ask(client, token).json()["user_id"] == ME
    assert ask(client, token).status_code == 200
    assert project.requests == ["/auth/v1/user"]
    for changes in ({"exp": 1}, {"iss": "x"}, {"aud": "x"}, {"role": "anon"}, {"sub": "x"}):
        assert ask(client, jwt.encode(project.claims(**changes), SECRET, "HS256")).status_code == 401
    assert ask(client, project.token()).status_code == 401
    assert project.requests == ["/auth/v1/user"]
    project.status = 401
    assert (
        ask(client, jwt.encode(project.claims(), "another secret of at least 32 bytes", "HS256")).status_code
        == 401
    )
    project.status = 500
    assert ask(client, jwt.encode(project.claims(jti="x"), SECRET, "HS256")).status_code == 503


# ---- MOCK_AUTH ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "unsafe",
    [{"APP_ENV": "production"}, {"SUPABASE_URL": "https://x.supabase.co"}],
)
def test_mock_auth_refuses_to_start_where_it_would_be_a_hole(unsafe: dict[str, str]) -> None:
    with pytest.raises(MisirError, match="MOCK_AUTH=True lets everybody in"):
        build_verifier(Settings(_env_file=None, MOCK_AUTH=True, **unsafe))


@pytest.mark.parametrize("url", ["x", "ftp://x", "http://x.supabase.co", "https://x?y=1", "https://"])
def test_a_wrong_project_address_is_one_sentence(url: str) -> None:
    with pytest.raises(MisirError, match="SUPABASE_URL"):
        build_verifier(Settings(_env_file=None, SUPABASE_URL=url))


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP"])
def test_mock_auth_answers_this_machine_only(run_app: Callable[..., httpx.Client], header: str) -> None:
    client = run_app()
    assert client.get("/api/v1/spaces").status_code == 200
    answer = client.get("/api/v1/spaces", headers={header: "203.0.113.9"})
    assert answer.status_code == 403
    assert "MOCK_AUTH_ALLOW_REMOTE" in answer.json()["detail"]
    allowed = run_app(MOCK_AUTH_ALLOW_REMOTE=True)
    assert allowed.get("/api/v1/spaces", headers={header: "203.0.113.9"}).status_code == 200


def test_mock_auth_says_so_at_every_start(caplog: pytest.LogCaptureFixture) -> None:
    build_verifier(Settings(_env_file=None, MOCK_AUTH=True))
    assert "nobody signs in" in caplog.text


def test_the_deployment_check_tells_real_from_forged(project: Any) -> None:
    from misir.check.probed import check_tokens

    settings = Settings(_env_file=None, SUPABASE_URL=project.url)
    assert [row.is_ok for row in asyncio.run(check_tokens(settings, project.token()))] == [True, True]
    assert [row.is_ok for row in asyncio.run(check_tokens(settings, project.token(exp=1)))] == [False, True]
    assert [row.is_ok for row in asyncio.run(check_tokens(settings, None))] == [None, None]
