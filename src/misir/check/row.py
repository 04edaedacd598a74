"""What a check finds."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Row(BaseModel):
    """One checked fact. `is_ok` None: it could not be checked, which in production is not good enough."""

    name: str
    is_ok: bool | None
    found: str = Field(description="What is there; never a secret.")
    mend: str = Field(description="What to do when it is not ok; empty when it is.")


def passed(name: str, found: str) -> Row:
    return Row(name=name, is_ok=True, found=found, mend="")


def failed(name: str, found: str, mend: str) -> Row:
    return Row(name=name, is_ok=False, found=found, mend=mend)


def unknown(name: str, found: str, mend: str) -> Row:
    return Row(name=name, is_ok=None, found=found, mend=mend)


def verdict(name: str, is_ok: bool, found: str, mend: str) -> Row:
    return passed(name, found) if is_ok else failed(name, found, mend)
