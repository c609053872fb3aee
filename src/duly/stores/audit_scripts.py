"""What people did to a tenant as a whole, written down."""

from __future__ import annotations

from typing import Final

from duly.stores.script import Script, Statement, storable

INSERT_NOTE: Final = """
INSERT INTO duly.audit (tenant, effect_id, verb, by_whom, reason, detail, at_ms)
VALUES (:tenant, NULL, :verb, :by, :reason, :detail, duly.now_ms())
"""


def note_script(tenant: str, *, verb: str, by: str, reason: str, detail: str = "") -> Script[None]:
    """Write down what somebody did, apart from any one effect."""
    yield Statement(
        INSERT_NOTE,
        {"tenant": tenant, "verb": verb, "by": storable(by), "reason": storable(reason), "detail": storable(detail)},
    )
