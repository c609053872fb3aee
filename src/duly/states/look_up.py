"""What a provider said when it was asked whether it has an effect of ours."""

from __future__ import annotations

from typing import TypeAlias

import msgspec


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has it, under `provider_id`."""

    provider_id: str
    evidence: str = ""


class NotThere(msgspec.Struct, frozen=True, kw_only=True):
    """The provider answered clearly that it has nothing under our reference."""

    evidence: str = ""


class Unclear(msgspec.Struct, frozen=True, kw_only=True):
    """The question could not be answered."""

    evidence: str


LookUpAnswer: TypeAlias = Found | NotThere | Unclear
"""What a look-up comes to."""
