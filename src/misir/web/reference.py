"""PURE: an OpenAPI document into what a reference page shows: routes by tag, fields, answers, a curl line."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final
from urllib.parse import quote, urlencode

Schema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/"
METHODS: Final = ("get", "head", "post", "put", "patch", "delete")
LARGEST_TOLD: Final = 2**53
"""Bounds beyond this are those of a 64-bit number, which `integer` says already."""


@dataclass(frozen=True)
class Part:
    """A piece of a type in words; `schema` names the object it leads to."""

    text: str
    schema: str | None = None


@dataclass(frozen=True)
class Field:
    name: str
    where: str
    type: list[Part]
    is_required: bool
    note: str


@dataclass(frozen=True)
class Answer:
    status: str
    meaning: str
    type: list[Part]


@dataclass(frozen=True)
class Route:
    anchor: str
    tag: str
    method: str
    path: str
    summary: str
    parameters: list[Field]
    body: list[Field]
    answers: list[Answer]
    curl: str


@dataclass(frozen=True)
class Shape:
    """A named object of the API."""

    name: str
    description: str
    fields: list[Field]
    values: list[str]


@dataclass(frozen=True)
class Reference:
    title: str
    summary: str
    groups: list[tuple[str, list[Route]]]
    shapes: list[Shape]


def read_reference(openapi: Schema, *, base_url: str, with_token: bool) -> Reference:
    schemas: Schema = openapi.get("components", {}).get("schemas", {})
    tags = list(dict.fromkeys(_tag(operation) for _, _, operation in _operations(openapi)))
    routes = [
        _route(method, path, operation, schemas, base_url, with_token)
        for method, path, operation in _operations(openapi)
    ]
    routes.sort(key=lambda route: tags.index(route.tag))
    return Reference(
        title=openapi["info"]["title"],
        summary=openapi["info"].get("summary", ""),
        groups=[(tag, list(group)) for tag, group in groupby(routes, key=lambda route: route.tag)],
        shapes=[_shape(name, schemas[name], schemas) for name in sorted(schemas)],
    )


def _operations(openapi: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, item in openapi.get("paths", {}).items():
        for method in METHODS:
            if method in item:
                yield method, path, item[method]


def _tag(operation: Schema) -> str:
    return str((operation.get("tags") or ["other"])[0])


def _route(
    method: str, path: str, operation: Schema, schemas: Schema, base_url: str, with_token: bool
) -> Route:
    body = _body_schema(operation, schemas)
    answers = operation.get("responses", {})
    return Route(
        anchor=f"{method}-{re.sub(r'[^a-z0-9]+', '-', path.lower()).strip('-')}",
        tag=_tag(operation),
        method=method.upper(),
        path=path,
        summary=operation.get("description") or operation.get("summary", ""),
        parameters=[_parameter(one, schemas) for one in operation.get("parameters", [])],
        body=_fields(body, schemas),
        answers=[_answer(status, answers[status], schemas) for status in sorted(answers)],
        curl=curl_line(method, path, operation, schemas, base_url=base_url, with_token=with_token),
    )


def _body_schema(operation: Schema, schemas: Schema) -> Schema:
    content = operation.get("requestBody", {}).get("content", {})
    return next((_resolved(one.get("schema", {}), schemas) for one in content.values()), {})


def _resolved(schema: Schema, schemas: Schema) -> Schema:
    """The object behind a reference, and behind an optional one."""
    for one in _without_null(schema):
        if "$ref" in one:
            found: Schema = schemas.get(one["$ref"].removeprefix(REFERENCE), {})
            return found
    return schema


def _without_null(schema: Schema) -> list[Schema]:
    choices = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return [one for one in choices if one.get("type") != "null"]


def _parameter(parameter: Schema, schemas: Schema) -> Field:
    schema = parameter.get("schema", {})
    choices = _without_null(schema)  # a query cannot carry null: leaving it out is how to say nothing
    words = [part for one in choices for part in _joined(type_of(one, schemas), one is not choices[0])]
    note = _note({**schema, "description": parameter.get("description") or schema.get("description", "")})
    return Field(parameter["name"], parameter["in"], words, parameter.get("required", False), note)


def _fields(schema: Schema, schemas: Schema) -> list[Field]:
    required = schema.get("required", [])
    return [
        Field(name, "body", type_of(one, schemas), name in required, _note(one))
        for name, one in schema.get("properties", {}).items()
    ]


def _answer(status: str, answer: Schema, schemas: Schema) -> Answer:
    content: Schema = next(iter(answer.get("content", {}).values()), {})
    meaning: str = answer.get("description", "")
    # FastAPI's own words for any 2xx say nothing that the number does not.
    meaning = "Done." if meaning in {"Successful Response", "OK", "Created"} else meaning
    return Answer(status, meaning, type_of(content["schema"], schemas) if "schema" in content else [])


def _shape(name: str, schema: Schema, schemas: Schema) -> Shape:
    values = [str(one) for one in schema.get("enum", [])]
    return Shape(name, schema.get("description", ""), _fields(schema, schemas), values)


def type_of(schema: Schema, schemas: Schema) -> list[Part]:
    """A schema in words, with links where it names another.

    >>> " ".join(part.text for part in type_of({"type": "array", "items": {"type": "integer"}}, {}))
    'list of integer'
    """
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(REFERENCE)
        return [Part(name, name if name in schemas else None)]
    if "enum" in schema or "const" in schema:
        return [Part(" | ".join(str(one) for one in schema.get("enum", [schema.get("const")])))]
    choices = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if choices:
        return [
            part for i, one in enumerate(choices) for part in _joined(type_of(one, schemas), follows=i > 0)
        ]
    if schema.get("type") == "array":
        return [Part("list of"), *type_of(schema.get("items", {}), schemas)]
    return [Part(schema.get("format") or schema.get("type") or "anything")]


def _joined(parts: list[Part], follows: bool) -> list[Part]:
    return [Part("or"), *parts] if follows else parts


def _note(schema: Schema) -> str:
    """What is to know of a field besides its type: its description, its bounds, its default."""
    bounds = [said for one in _without_null(schema) for said in _bounds(one)]
    default = schema.get("default")
    said = [schema.get("description", ""), ", ".join(bounds)]
    if default not in (None, "", []):
        said.append(f"Default: `{default if isinstance(default, str) else json.dumps(default)}`")
    return " ".join(_sentence(one) for one in said if one)


def _sentence(text: str) -> str:
    """Begins large, ends with a stop.

    >>> _sentence("at least 1"), _sentence("Done.")
    ('At least 1.', 'Done.')
    """
    return text[0].upper() + text[1:] + ("" if text.endswith((".", "…", ":")) else ".")


def _bounds(schema: Schema) -> Iterator[str]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if most is not None and abs(most) >= LARGEST_TOLD:
        most = None
    if least is not None and most is not None:
        yield f"{least:g} to {most:g}"
    elif least is not None:
        yield f"at least {least:g}"
    elif most is not None:
        yield f"at most {most:g}"
    if "maxLength" in schema:
        yield f"at most {schema['maxLength']:,} characters"
    if "maxItems" in schema:
        yield f"at most {schema['maxItems']:,} items"


def curl_line(
    method: str, path: str, operation: Schema, schemas: Schema, *, base_url: str, with_token: bool
) -> str:
    """A command to paste: the required parameters with example values, the token where one is needed."""
    parameters = operation.get("parameters", [])
    examples = {one["name"]: example_of(one.get("schema", {}), schemas) for one in parameters}
    for one in parameters:
        if one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(str(examples[one["name"]]), safe=""))
    asked = [
        (one["name"], examples[one["name"]])
        for one in parameters
        if one["in"] == "query" and one.get("required")
    ]
    query = f"?{urlencode(asked, quote_via=quote)}" if asked else ""
    verb = "" if method == "get" else f"-X {method.upper()} "
    lines = [f"curl {verb}{shlex.quote(base_url + path + query)}"]
    if with_token and path.startswith("/api/"):
        lines.append('-H "Authorization: Bearer $MISIR_TOKEN"')
    body = _body_schema(operation, schemas)
    if body:
        lines += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(_example_body(body, schemas))}"]
    return " \\\n  ".join(lines)


def _example_body(schema: Schema, schemas: Schema) -> str:
    """The required fields and those that bring an example; where there are none, the first field."""
    properties: Schema = schema.get("properties", {})
    required = schema.get("required", [])
    chosen = [name for name, one in properties.items() if name in required or "examples" in one]
    chosen = chosen or list(properties)[:1]
    made = {name: example_of(properties[name], schemas) for name in chosen}
    return json.dumps(made, ensure_ascii=False)


def example_of(schema: Schema, schemas: Schema) -> Any:
    """A value that fits: the schema's own example where it has one.

    >>> example_of({"type": "integer", "minimum": 1}, {}), example_of({"enum": ["web", "pdf"]}, {})
    (1, 'web')
    """
    schema = next(iter(_without_null(schema)), {}) if "examples" not in schema else schema
    schema = _resolved(schema, schemas)
    if schema.get("examples"):
        return schema["examples"][0]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        return json.loads(_example_body(schema, schemas))
    if schema.get("type") == "array":
        return [example_of(schema.get("items", {}), schemas)]
    return {"integer": 1, "number": 0.5, "boolean": True, "object": {}}.get(str(schema.get("type")), "text")
