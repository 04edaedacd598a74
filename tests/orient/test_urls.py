import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from misir.orient.urls import MAX_URL_LENGTH, TRACKING_PARAMETERS, domain_of, is_local, normalise_url

steady = settings(deadline=None, derandomize=True, max_examples=300)
labels = st.from_regex(r"[a-zA-Z0-9]([a-zA-Z0-9_-]{0,8}[a-zA-Z0-9])?", fullmatch=True)
hosts = st.lists(labels, min_size=1, max_size=4).map(".".join)
url_text = st.text("aZ0-._~%4e:/?#[]@!$&'()*+,;=| é\u3002\u00ad", max_size=30)
paths = st.one_of(st.just(""), url_text.map(lambda text: f"/{text}"))
names = st.text("abcdxyz", min_size=1, max_size=4).filter(lambda n: n not in TRACKING_PARAMETERS)
queries = st.dictionaries(names, st.text("abc123-", max_size=4), max_size=5)
urls = st.builds(
    lambda scheme, host, port, path: f"{scheme}://{host}{port}{path}",
    st.sampled_from(["http", "https", "HTTP"]),
    st.one_of(hosts, st.sampled_from(["m.x.org", "en.m.x.org", "bücher.example", "[::1]", "a.m.m.b.c"])),
    st.sampled_from(["", ":", ":80", ":443", ":8080"]),
    paths,
)


def query_of(parameters: list[tuple[str, str]]) -> str:
    return "&".join(f"{name}={value}" for name, value in parameters)


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com/?", "https://example.com"),
        ("https://example.com//", "https://example.com"),
        ("  https://example.com/a \n", "https://example.com/a"),
        ("HTTP://EXAMPLE.com/Path", "https://example.com/Path"),
        ("http://example.com:80/a", "https://example.com/a"),
        ("https://example.com:443/a", "https://example.com/a"),
        ("http://example.com:443/a", "https://example.com/a"),
        ("https://example.com:/a", "https://example.com/a"),
        ("https://example.com:08080/a", "https://example.com:8080/a"),
        ("https://user:p@ss@example.com/a", "https://example.com/a"),
        ("https://example.com./a", "https://example.com/a"),
        ("https://example.com/a#part", "https://example.com/a"),
        ("https://example.com/#/inbox", "https://example.com#/inbox"),
        ("https://example.com/a#!b c", "https://example.com/a#!b%20c"),
        ("https://example.com/a/#:~:text=x", "https://example.com/a"),
        ("https://example.com/a?b=2&a=1&b=1", "https://example.com/a?a=1&b=2&b=1"),
        ("https://example.com/a?&&b&a=", "https://example.com/a?a=&b"),
        ("https://example.com/a?ref=hn&source=x", "https://example.com/a?ref=hn&source=x"),
        ("https://example.com/a?UTM_Source=x&utm%5Fid=2&fbclid=1&q=1", "https://example.com/a?q=1"),
        ("https://example.com/%7euser/%c3%a9", "https://example.com/~user/%C3%A9"),
        ("https://example.com/é b", "https://example.com/%C3%A9%20b"),
        ("https://example.com/100%", "https://example.com/100%25"),
        ("https://example.com/%%34%31", "https://example.com/%2541"),
        ("https://example.com/a%2Fb", "https://example.com/a%2Fb"),
        ("https://example.com/a/../b/./c/", "https://example.com/b/c"),
        ("https://example.com/../../a/%2e%2E/b", "https://example.com/b"),
        ("https://example.com/a//b", "https://example.com/a//b"),
        ("https://bücher.example/ü", "https://xn--bcher-kva.example/%C3%BC"),
        ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
        ("https://例え。テスト/a", "https://xn--r8jz45g.xn--zckzah/a"),
        ("https://my_site.b\u00fccher.example", "https://my_site.xn--bcher-kva.example"),
        ("https://r3---sn-x.googlevideo.com/v", "https://r3---sn-x.googlevideo.com/v"),
        ("https://m.example.com/a", "https://example.com/a"),
        ("https://amp.example.com/a", "https://example.com/a"),
        ("https://en.m.wikipedia.org/wiki/Soil", "https://en.wikipedia.org/wiki/Soil"),
        ("https://m.me/a", "https://m.me/a"),
        ("https://alice.m.com", "https://alice.m.com"),
        ("https://www.example.com/a", "https://example.com/a"),
        ("http://localhost:3000/a", "https://localhost:3000/a"),
        ("http://127.0.0.1/a", "https://127.0.0.1/a"),
        ("http://[2001:DB8:0:0::1]:80/a", "https://[2001:db8::1]/a"),
        ("note:2026/Soil#x", "note:2026/Soil#x"),
        ("NOTE:  x ", "note:x"),
        ("chat://claude/123", "chat://claude/123"),
        ("FILE:///C:/My Papers/a.pdf#page=3", "file:///C:/My%20Papers/a.pdf"),
        ("about:blank", "about:blank"),
        ("moz-extension://ab-cd/r.html#/x", "moz-extension://ab-cd/r.html#/x"),
    ],
)
def test_the_key_of_a_page(url: str, key: str) -> None:
    assert normalise_url(url) == key
    assert normalise_url(key) == key


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "must begin with http:"),
        ("example.com/a", "must begin with http:"),
        ("javascript:alert(1)", "must begin with http:"),
        ("data:text/plain,x", "must begin with http:"),
        ("https:///a", "no host"),
        ("https:example.com", "no host"),
        ("https://user@/a", "no host"),
        ("https://example.com:port/a", "host and port"),
        ("https://example.com:65536/a", "host and port"),
        ("https://example.com:123456/a", "host and port"),
        ("https://a:b:c/", "host and port"),
        ("https://exa mple.com", "not a valid name"),
        ("https://a..b", "not a valid name"),
        ("https://" + "a" * 64 + ".com", "not a valid name"),
        ("https://" + "a." * 127 + "com", "not a valid name"),
        ("https://" + "é" * 254, "not a valid name"),
        ("https://\u2100.com", "not a valid name"),
        ("https://xn--é.com", "not a valid international name"),
        ("https://a\u200d.com", "not a valid international name"),
        ("https://[::1", "host and port"),
        ("https://[::g]/", "valid IPv6"),
        ("https://[fe80::1%eth0]/", "valid IPv6"),
        ("https://example.com/a\nb", "control characters"),
        ("https://example.com/\x00", "control characters"),
        ("https://example.com/\ud800", "control characters"),
        ("https://example.com/" + "a" * MAX_URL_LENGTH, "longer than 8192 characters."),
        ("https://example.com/" + "é" * 2000, "longer than 8192 characters once encoded"),
        ("note:  ", "nothing after note:"),
        ("file:#page=3", "nothing after file:"),
    ],
)
def test_what_cannot_be_a_url_is_refused_in_one_sentence(url: str, message: str) -> None:
    for function in (
        (normalise_url,) if "once" in message or "nothing" in message else (normalise_url, domain_of)
    ):
        with pytest.raises(ValueError, match=message) as refusal:
            function(url)
        assert type(refusal.value) is ValueError
        assert str(refusal.value).endswith(".")


@pytest.mark.parametrize(
    ("url", "domain"),
    [
        ("https://www.example.com/a", "example.com"),
        ("https://EN.m.Wikipedia.org", "en.wikipedia.org"),
        ("https://me:pw@example.com:8080", "example.com"),
        ("https://www.com", "www.com"),
        ("http://localhost:3000", "localhost"),
        ("https://bücher.example", "xn--bcher-kva.example"),
        ("https://[::1]/", "[::1]"),
        ("note:x", None),
        ("chat:x", None),
        ("file://server/a", None),
        ("chrome-extension://abc/x", None),
    ],
)
def test_the_domain_of_a_page(url: str, domain: str | None) -> None:
    assert domain_of(url) == domain


@pytest.mark.parametrize(
    ("url", "local"),
    [("FILE:/a", True), ("about:blank", True), ("chat:1", False), ("http://localhost", False)],
)
def test_local_addresses(url: str, local: bool) -> None:
    assert is_local(url) is local


@steady
@given(st.one_of(urls, url_text.map(lambda text: f"https:{text}"), url_text.map(lambda text: f"file:{text}")))
def test_a_key_is_its_own_key(url: str) -> None:
    try:
        key = normalise_url(url)
    except ValueError:
        return
    assert normalise_url(key) == key
    assert domain_of(key) == domain_of(url)


@steady
@given(
    st.one_of(
        st.text(),
        st.text(st.characters()).map(lambda text: f"https://{text}"),
        st.text(st.characters()).map(lambda text: f"note:{text}"),
        st.text(st.characters(codec=None), max_size=8).map(
            lambda text: f"http://a.{text}.com/{text}?{text}#!{text}"
        ),
    )
)
@example("https://[v1.a]/")
@example("//example.com")
def test_any_text_is_a_url_or_a_plain_refusal(text: str) -> None:
    for function in (normalise_url, domain_of, is_local):
        try:
            function(text)
        except ValueError as error:
            assert type(error) is ValueError  # noqa: PT017


@steady
@given(hosts, queries)
def test_the_case_of_the_host_means_nothing(host: str, parameters: dict[str, str]) -> None:
    rest = f"/A?{query_of(list(parameters.items()))}"
    assert normalise_url(f"https://{host.upper()}{rest}") == normalise_url(f"https://{host.lower()}{rest}")


@steady
@given(queries, st.data())
def test_the_order_of_parameters_means_nothing(parameters: dict[str, str], data: st.DataObject) -> None:
    ordered = list(parameters.items())
    shuffled = data.draw(st.permutations(ordered))
    page = "https://example.com/a?"
    assert normalise_url(page + query_of(shuffled)) == normalise_url(page + query_of(ordered))


@steady
@given(queries, st.sampled_from([*sorted(TRACKING_PARAMETERS), "utm_source", "UTM_x"]), st.data())
def test_tracking_means_nothing(parameters: dict[str, str], tracker: str, data: st.DataObject) -> None:
    ordered = list(parameters.items())
    assume(tracker not in parameters)
    position = data.draw(st.integers(0, len(ordered)))
    tracked = [*ordered[:position], (tracker, "x"), *ordered[position:]]
    page = "http://example.com/a?"
    assert normalise_url(page + query_of(tracked)) == normalise_url(page + query_of(ordered))


@steady
@given(hosts, paths)
def test_http_and_https_are_one_page(host: str, path: str) -> None:
    assume(len(host) > 1)
    assert normalise_url(f"http://{host}{path}") == normalise_url(f"https://{host}{path}")
