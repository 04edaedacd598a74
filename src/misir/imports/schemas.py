"""What an import answers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

State = Literal["waiting", "running", "fetching", "done", "failed", "undoing", "undone"]
Outcome = Literal["skipped", "failed"]


class Refused(BaseModel):
    """An entry that did not come in."""

    position: int = Field(description="Its number in the file, from 1.")
    outcome: Outcome
    url: str | None
    reason: str | None


class ImportRun(BaseModel):
    """One file on its way into the library."""

    id: int
    space_id: int | None = Field(description="null: an export of Misir, which brings its own spaces.")
    file_name: str
    file_bytes: int
    format: str
    fetch: bool = Field(description="Will the text of pages that came with a title only be fetched?")
    state: State
    total: int | None = Field(description="Entries of the file; null until they have been counted.")
    position: int = Field(description="How many of them are settled.")
    new_count: int
    known_count: int = Field(description="Pages that were there already: the visit was added to them.")
    skipped_count: int = Field(description="Left out on purpose; `refused` says why.")
    failed_count: int
    fetched_count: int = Field(description="Pages whose text was fetched afterwards.")
    undone_count: int
    error: str | None = Field(description="Why the whole import failed.")
    created_at: datetime
    finished_at: datetime | None
    updated_at: datetime


class ImportDetail(ImportRun):
    refused: list[Refused]
    next_cursor: str | None = Field(description="For the next of `refused`.")


class ImportList(BaseModel):
    imports: list[ImportRun]
    next_cursor: str | None


class Sample(BaseModel):
    url: str
    title: str | None
    captured_at: datetime | None
    has_text: bool
    is_known: bool


class DryRun(BaseModel):
    """What the import would do. Nothing was kept."""

    dry_run: bool = True
    format: str
    total: int
    new_count: int
    known_count: int
    duplicate_count: int = Field(description="Entries of the file for one and the same page.")
    skipped_count: int
    without_text_count: int
    samples: list[Sample]
    skipped: list[Refused] = Field(description="The first 50.")
    contents: dict[str, int] = Field(description="For an export of Misir: rows by kind.")
