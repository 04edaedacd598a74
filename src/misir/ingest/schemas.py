"""What may be sent to be fetched, or read from a file."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from misir.capture.schemas import CaptureRequest
from misir.fields import Text
from misir.orient.urls import MAX_URL_LENGTH, WEB_SCHEMES


class IngestRequest(CaptureRequest):
    """A page to fetch. The fields of a capture may come along; title and text are read from the page."""

    content: None = Field(None, description="Read from the page.")
    embedding: None = Field(None, description="Made from the page's text.")

    @model_validator(mode="after")
    def _has_something_to_read(self) -> Self:
        self.title = (self.title or "").strip() or None
        return self


class FetchRequest(IngestRequest):
    @field_validator("url")
    @classmethod
    def _on_the_web(cls, value: str) -> str:
        if value.strip().partition(":")[0].lower() not in WEB_SCHEMES:
            raise ValueError("must be an http(s) address; send a file as a form")
        return value


class UploadRequest(IngestRequest):
    """A file to read, with the fields of a capture beside it."""

    url: Annotated[Text, Field(min_length=1, max_length=MAX_URL_LENGTH)] = Field(
        "file:///upload", description="Where it is from; by default an address made of the file's content."
    )
