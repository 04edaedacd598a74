"""From what a package ships to labelled texts: (label, title, text), one function per kind of file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

Labelled = tuple[str, str, str]
"""Label, title, text."""

TITLE_WORDS: Final = 8
"""Words of a text without a title that stand for one."""


def read_orange_table(path: Path) -> Iterator[Labelled]:
    """Orange's .tab: three lines of heading, then label, tab, text; the subject is the text's beginning."""
    with path.open(encoding="utf-8") as lines:
        for line in list(lines)[3:]:
            label, _, text = line.strip().partition("\t")
            if text:
                yield label, " ".join(text.split()[:TITLE_WORDS]), text


def read_debian_packages(available: str) -> Iterator[Labelled]:
    """Section, name and one-line description, one package per source: siblings repeat each other."""
    seen: set[str] = set()
    for paragraph in available.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Source|Section|Description): (.*)$", paragraph, re.MULTILINE))
        source = str(fields.get("Source", fields.get("Package"))).partition(" ")[0]
        if source not in seen and {"Section", "Description"} <= fields.keys():
            seen.add(source)
            yield fields["Section"], fields["Package"], fields["Description"]


def read_foldoc(text: str) -> Iterator[Labelled]:
    """The Free On-line Dictionary of Computing: a headword, then `<subject>` and the definition, indented."""
    for entry in re.split(r"\n\n(?=\S)", text):
        head, _, body = entry.partition("\n\n")
        found = re.match(r"\s*<([^<>]+)>\s*", body)
        if found and "," not in found[1]:
            yield found[1], head.partition("\n")[0], _plain(body[found.end() :])


def _plain(definition: str) -> str:
    """Without braces round cross-references, addresses and the date at the end."""
    without = re.sub(r"\(https?://[^)]*\)|\(\d{4}-\d\d-\d\d\)", "", definition)
    return " ".join(re.sub(r"[{}]|__", "", without).split())


def read_wordnet(nouns: str) -> Iterator[Labelled]:
    """Noun synsets with exactly one topic domain: the domain's word, the synset's words, the gloss.

    A line of data.noun: offset, file, type, number of words (hex), word and sense…, number of pointers, then
    pointer, offset, part of speech, source/target…; after the bar the gloss (wndb(5WN)).
    """
    synsets = [_synset(line) for line in nouns.splitlines() if not line.startswith(" ")]
    names = {offset: words[0] for offset, words, _, _ in synsets}
    for _, words, domains, gloss in synsets:
        if len(domains) == 1 and domains[0] in names:
            yield names[domains[0]], ", ".join(words), gloss


def _synset(line: str) -> tuple[str, list[str], list[str], str]:
    head, _, gloss = line.partition(" | ")
    fields = head.split()
    end = 4 + 2 * int(fields[3], 16)
    words = [word.replace("_", " ") for word in fields[4:end:2]]
    pointers = fields[end + 1 : end + 1 + 4 * int(fields[end])]
    domains = [
        pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] == ";c" and pointers[i + 2] == "n"
    ]
    return fields[0], words, domains, gloss.strip()


def read_chapters(documents: list[dict[str, str]], chapters: Mapping[str, str]) -> Iterator[Labelled]:
    """Docstrings of the standard library by the chapter of the Library Reference their module stands in."""
    chapter_of = {module: chapter for chapter, modules in chapters.items() for module in modules.split()}
    for document in documents:
        title = document["title"]
        names = [title.rsplit(".", n)[0] for n in range(title.count(".") + 1)]
        chapter = next((chapter_of[name] for name in names if name in chapter_of), None)
        if chapter:
            yield chapter, title, document["content"]
