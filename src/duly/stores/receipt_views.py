"""Receipts as a tenant sees them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from duly.clock import time_of
from duly.ports.receipts import ReceiptView
from duly.states.delivery import Delivery, Engagement
from duly.stores.script import Script, Statement

SELECT_RECEIPTS: Final = """
SELECT effect_id, received_ms, occurred_ms, applied_ms, delivery, engagement, detail, provider_id
  FROM duly.receipt
 WHERE effect_id = ANY(:ids) AND effect_id BETWEEN :least AND :greatest ORDER BY effect_id, id
"""


def receipts_of(ids: Sequence[str]) -> Script[dict[str, tuple[ReceiptView, ...]]]:
    """The receipts of effects by their ids, in the order in which they came in; an effect without any is left out."""
    if not ids:
        return {}
    # The range keeps PostgreSQL, without statistics, from thinking that these are most of the table.
    found = yield Statement(SELECT_RECEIPTS, {"ids": list(ids), "least": min(ids), "greatest": max(ids)})
    views: dict[str, list[ReceiptView]] = defaultdict(list)
    for effect_id, received_ms, occurred_ms, applied_ms, delivery, engagement, detail, provider_id in found.rows:
        views[str(effect_id)].append(
            ReceiptView(
                received_at=time_of(received_ms),
                occurred_at=None if occurred_ms is None else time_of(occurred_ms),
                applied_at=None if applied_ms is None else time_of(applied_ms),
                delivery=None if delivery is None else Delivery(delivery),
                engagement=None if engagement is None else Engagement(engagement),
                detail=detail,
                provider_id=provider_id,
            )
        )
    return {effect_id: tuple(receipts) for effect_id, receipts in views.items()}
