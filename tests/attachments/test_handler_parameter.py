"""`Attachments` as a handler has it: whose file it is follows from what is handled."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from duly.attachments.memory import MemoryAttachments
from duly.errors import AttachmentLost, ScopeClosed
from duly.messages.envelope import Envelope, Kind
from duly.work.attachments import Attachments
from duly.work.scope import Handling


@dataclass
class Open:
    """A unit of work that may be closed."""

    subject: str | None = "customer-1"
    tenant: str = "acme"
    is_open: bool = True
    attachments: MemoryAttachments = field(default_factory=MemoryAttachments)

    def handling(self) -> Handling:
        if not self.is_open:
            raise ScopeClosed("The handler has ended.")
        cause = Envelope(
            id="m-1", tenant=self.tenant, kind=Kind.EVENT, name="Billed", version=1, body="{}", subject=self.subject
        )
        return Handling(cause, handler="billing.mail", identity="billing.mail")


@pytest.mark.parametrize(
    ("of_message", "given", "whose"),
    [("customer-1", None, "customer-1"), ("customer-1", "customer-2", "customer-2"), (None, None, "m-1")],
)
async def test_a_file_belongs_to_the_person_named_or_to_the_one_of_the_message(
    of_message: str | None, given: str | None, whose: str
) -> None:
    scope = Open(subject=of_message)
    attachment = await Attachments(scope).keep("a.pdf", b"x", content_type="application/pdf", subject=given)
    assert await scope.attachments.read("acme", attachment) == b"x"
    await scope.attachments.erase("acme", whose)
    with pytest.raises(AttachmentLost):
        await scope.attachments.read("acme", attachment)


async def test_a_handler_that_runs_again_gets_the_same_reference() -> None:
    scope = Open()
    found = [await Attachments(scope).keep("a.pdf", b"x", content_type="application/pdf") for _ in range(2)]
    assert found[0] == found[1]


async def test_after_its_handler_it_keeps_nothing() -> None:
    scope = Open()
    attachments = Attachments(scope)
    scope.is_open = False
    with pytest.raises(ScopeClosed):
        await attachments.keep("a.pdf", b"x", content_type="application/pdf")
