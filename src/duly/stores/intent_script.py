"""An effect that a change requests, as a script."""

from __future__ import annotations

from typing import Final

from duly.messages.envelope import encode_chain
from duly.ports.change import Intent
from duly.ports.gateway import encode_attachments
from duly.stores.script import Script, Statement

INSERT_EFFECT: Final = """
INSERT INTO duly.effect (id, tenant, type, channel, gateway, policy, key, digest, reference, correlation, destination,
                         urgent, barred, state, handler, chain, trace, requested_ms, changed_ms, due_ms, expires_ms)
SELECT :id, :tenant, :type, :channel, :gateway, :policy, :key, :digest, :reference, :correlation, :destination, :urgent,
       :barred, :state, :handler, :chain, :trace, now.ms, now.ms, coalesce(:at_ms, now.ms + :after_ms),
       coalesce(:expires_at_ms, now.ms + :expires_after_ms)
  FROM (SELECT duly.now_ms() AS ms) AS now
 WHERE NOT EXISTS (SELECT 1 FROM duly.effect_key WHERE id = :id)
ON CONFLICT (id) DO NOTHING
"""
INSERT_CONTENT: Final = """
INSERT INTO duly.effect_content (effect_id, tenant, channel, requested_ms, subject, recipient, recipient_hash, summary,
                                 content_type, body, attachments)
SELECT e.id, e.tenant, e.channel, e.requested_ms, :subject, :recipient, :recipient_hash, :summary, :content_type, :body,
       :attachments
  FROM duly.effect AS e WHERE e.id = :id
"""
SELECT_DIGEST: Final = """
SELECT digest FROM duly.effect WHERE id = :id UNION ALL SELECT digest FROM duly.effect_key WHERE id = :id
"""
INSERT_ANOMALY: Final = """
INSERT INTO duly.anomaly (tenant, kind, about, detail, at_ms) VALUES (:tenant, :kind, :about, :detail, duly.now_ms())
"""


def write_intent(tenant: str, intent: Intent) -> Script[None]:
    """Write down an effect that is to be; one that was requested before stays as it is."""
    inserted = yield Statement(
        INSERT_EFFECT,
        {
            "id": intent.id,
            "tenant": tenant,
            "type": intent.type,
            "channel": intent.channel,
            "gateway": intent.gateway,
            "policy": intent.policy.value,
            "key": intent.key,
            "digest": intent.digest,
            "reference": intent.reference,
            "correlation": intent.correlation,
            "destination": intent.prepared.destination,
            "urgent": int(intent.urgent),
            "barred": intent.prepared.suppressed,
            "state": intent.begins.value,
            "at_ms": intent.at_ms,
            "after_ms": intent.after_ms,
            "expires_at_ms": intent.expires_at_ms,
            "expires_after_ms": intent.expires_after_ms,
            "handler": intent.handler,
            "chain": encode_chain(intent.chain),
            "trace": intent.trace,
        },
    )
    if inserted.changed:
        yield Statement(
            INSERT_CONTENT,
            {
                "id": intent.id,
                "subject": intent.subject,
                "recipient": intent.prepared.recipient,
                "recipient_hash": intent.recipient_hash,
                "summary": intent.prepared.summary,
                "content_type": intent.prepared.content_type,
                "body": intent.prepared.body,
                "attachments": encode_attachments(intent.prepared.attachments),
            },
        )
        return
    found = yield Statement(SELECT_DIGEST, {"id": intent.id})
    if found.rows and found.rows[0][0] != intent.digest:
        yield Statement(
            INSERT_ANOMALY,
            {
                "tenant": tenant,
                "kind": "effect requested again with another body",
                "about": intent.id,
                "detail": f"{intent.handler} requested {intent.type} again, with digest {intent.digest}; "
                f"the first request, {found.rows[0][0]}, stands.",
            },
        )
