from __future__ import annotations

import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from misir.quality import corpora, fetch
from misir.quality.corpora import LOADERS, MAX_CHARACTERS, Corpus, embed_corpus
from misir.quality.readers import (
    read_chapters,
    read_debian_packages,
    read_foldoc,
    read_orange_table,
    read_wordnet,
)


@pytest.fixture(scope="module")
def stdlib() -> Corpus:
    return LOADERS["stdlib"](Path())


def test_a_corpus_is_large_enough_to_say_something(stdlib: Corpus) -> None:
    assert len(stdlib.titles) == len(stdlib.texts) == len(stdlib.labels) >= 300
    assert min(Counter(stdlib.labels).values()) >= 8
    assert len(set(stdlib.labels)) >= 6
    assert max(map(len, stdlib.texts)) <= MAX_CHARACTERS


def test_the_same_package_gives_the_same_corpus(stdlib: Corpus) -> None:
    assert LOADERS["stdlib"](Path()) == stdlib


def test_labels_are_mixed_not_sorted(stdlib: Corpus) -> None:
    runs = sum(a != b for a, b in zip(stdlib.labels, stdlib.labels[1:], strict=False))
    assert runs > len(stdlib.labels) / 2


def test_a_sample_holds_each_text_once_and_drops_rare_labels() -> None:
    rows = [*[("common", "title", f"text {n}") for n in range(5)] * 2, ("rare", "title", "text")]
    corpus = corpora._sampled("name", rows, "source", least=3, most=4)
    assert corpus.labels == ["common"] * 4
    assert len(set(corpus.texts)) == 4


def test_a_corpus_is_embedded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = Corpus("two", ["csv", "json"], ["comma-separated values", "objects"], ["a", "b"], "here")
    vectors = embed_corpus(corpus, tmp_path)
    assert vectors.shape == (2, 384)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-3)
    assert (vectors == vectors.astype(np.float16)).all()
    monkeypatch.setattr("misir.embed.embedder.Embedder.embed_texts", None)
    assert (embed_corpus(corpus, tmp_path) == vectors).all()


def test_orange_tables_are_read_below_their_heading(tmp_path: Path) -> None:
    path = tmp_path / "table.tab"
    path.write_text(
        "Category\tText\nd\tstring\nclass\t\n\ntrade\tasian exporters fear damage from a rift they say\n"
    )
    assert list(read_orange_table(path)) == [
        (
            "trade",
            "asian exporters fear damage from a rift they",
            "asian exporters fear damage from a rift they say",
        )
    ]


def test_packages_of_one_source_count_once() -> None:
    paragraphs = [
        "Package: gimp\nSection: graphics\nDescription: Image editor",
        "Package: gimp-data\nSource: gimp (2.1)\nSection: graphics\nDescription: Image editor, data",
        "Package: no-section\nDescription: lost",
    ]
    assert list(read_debian_packages("\n\n".join(paragraphs))) == [("graphics", "gimp", "Image editor")]


def test_foldoc_entries_lose_their_markup() -> None:
    text = (
        "Ada\nAda 83\n\n   <language> A {structured language (http://ada.org/)} with __types__.\n\n   More.\n\n   (1996-01-02)\n\n"
        "both\n\n   <language, humour> Not one subject.\n\nnone\n\n   No subject.\n"
    )
    assert list(read_foldoc(text)) == [("language", "Ada", "A structured language with types. More.")]


def test_wordnet_synsets_of_one_domain_are_labelled_by_it() -> None:
    lines = [
        "  1 licence text",
        "00000001 09 n 01 law 0 000 | rules",
        "00000002 10 n 02 null_hypothesis 0 nil 1 002 @ 00000001 n 0000 ;c 00000001 n 0000 | a rule  ",
        "00000003 10 n 01 neither 0 001 ;u 00000001 n 0000 | said of usage",
    ]
    assert list(read_wordnet("\n".join(lines))) == [("law", "null hypothesis, nil", "a rule")]


def test_a_docstring_stands_in_its_modules_chapter() -> None:
    chapters = {"Markup": "html", "Internet": "http"}
    documents = [
        {"title": "http.server.HTTPServer", "content": "serves"},
        {"title": "html", "content": "escapes"},
        {"title": "zlib", "content": "compresses"},
    ]
    assert list(read_chapters(documents, chapters)) == [
        ("Internet", "http.server.HTTPServer", "serves"),
        ("Markup", "html", "escapes"),
    ]


def test_a_wheel_is_fetched_once_and_unpacked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def download(command: list[str], **_: object) -> None:
        calls.append(command)
        with zipfile.ZipFile(tmp_path / "some_texts-1.0-py3-none-any.whl", "w") as wheel:
            wheel.writestr("texts.tab", "words")

    monkeypatch.setattr(subprocess, "run", download)
    for _ in range(2):
        assert (fetch.fetch_wheel("some-texts==1.0", tmp_path) / "texts.tab").read_text() == "words"
    assert len(calls) == 1
    assert calls[0][0] == sys.executable


def test_a_debian_package_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **_: object) -> None:
        if command[0] == "apt-get":
            (tmp_path / "wordnet-base_1%3a3.0-37_all.deb").write_bytes(b"")
        else:
            Path(command[-1]).mkdir()

    monkeypatch.setattr(subprocess, "run", run)
    assert fetch.fetch_debian("wordnet-base", "1:3.0-37", tmp_path).is_dir()
    monkeypatch.setattr(subprocess, "run", None)
    assert fetch.fetch_debian("wordnet-base", "1:3.0-37", tmp_path).is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["wordnet-base=1:3.0-37"]
