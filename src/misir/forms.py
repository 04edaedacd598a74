"""Requests that bring a file: one form, its fields checked like the fields of a JSON body."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.datastructures import UploadFile

from misir.errors import invalid

M = TypeVar("M", bound=BaseModel)

MAX_FIELDS = 40


@asynccontextmanager
async def sent_form(request: Request) -> AsyncIterator[tuple[dict[str, str], UploadFile]]:
    """The fields of a form, empty ones left out, and its one `file`. Raises MisirError 422 without one."""
    async with request.form(max_files=1, max_fields=MAX_FIELDS) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise invalid("file: is missing: send a form (multipart/form-data) with a field `file`.")
        fields = {name: value for name, value in form.items() if isinstance(value, str) and value.strip()}
        yield fields, file


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith("multipart/form-data")


def checked_body(model: type[M], fields: Any) -> M:
    """As FastAPI checks a body: what is wrong is a 422 that names each field."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in errors]) from None


def described(
    *models: tuple[str, type[BaseModel]], files: tuple[type[BaseModel], ...] = ()
) -> dict[str, Any]:
    """`openapi_extra` of a route that reads its body itself: (media type, model), and forms with a file."""
    content = {media: {"schema": _schema(model)} for media, model in models}
    for model in files:
        schema = _schema(model)
        schema["properties"] = {
            **schema.get("properties", {}),
            "file": {"type": "string", "format": "binary"},
        }
        schema["required"] = sorted({*schema.get("required", []), "file"})
        content["multipart/form-data"] = {"schema": schema}
    return {"requestBody": {"required": True, "content": content}}


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs", None)
    return schema
