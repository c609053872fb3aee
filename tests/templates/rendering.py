"""Renders as a tenant's template would be, and says what it was refused for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from duly.errors import InvalidTemplate
from duly.templates.tenant import MemoryTenantTexts, TenantTemplate, TenantTemplates

VALUES: dict[str, Any] = {
    "name": "Ann <ann@example.com>",
    "order": {"id": "42", "lines": [{"article": "Tea", "count": 2, "price": Decimal("4.95")}]},
    "placed_on": date(2026, 5, 4),
    "count": 3,
    "many": list(range(5_000)),
    "long": "x" * 100_000,
}


async def render(text: str, values: Mapping[str, object] = VALUES) -> str:
    """*text* as a tenant's template for a text."""
    texts = MemoryTenantTexts()
    texts.put("acme", "note", TenantTemplate(text=text))
    return await TenantTemplates(texts).text("note", tenant="acme", locale=None, values=values)


async def refusal(text: str, values: Mapping[str, object] = VALUES) -> str:
    """What *text* is refused for."""
    with pytest.raises(InvalidTemplate) as refused:
        await render(text, values)
    return str(refused.value)
