"""What every keeper of attachments promises alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from duly.attachments.folder import FolderAttachments
from duly.attachments.memory import MemoryAttachments
from duly.errors import AttachmentLost, InvalidField, InvalidInput
from duly.messages.attachment import ATTACHMENT_NAME_CHARACTERS_MAX, AttachmentRef
from duly.ports.attachments import ATTACHMENT_BYTES_MAX, AttachmentKeeper

PDF = b"%PDF-1.7\n\x00\xff" * 1_000


@pytest.fixture(params=["folder", "memory"])
def keeper(request: pytest.FixtureRequest, tmp_path: Path) -> AttachmentKeeper:
    makers: dict[str, Callable[[], AttachmentKeeper]] = {
        "folder": lambda: FolderAttachments(tmp_path / "attachments"),
        "memory": MemoryAttachments,
    }
    return makers[request.param]()


async def keep(keeper: AttachmentKeeper, **changes: Any) -> AttachmentRef:
    given: dict[str, Any] = {
        "tenant": "acme",
        "subject": "customer-1",
        "name": "invoice.pdf",
        "content_type": "application/pdf",
        "content": PDF,
    }
    return await keeper.keep(**{**given, **changes})


async def is_there(keeper: AttachmentKeeper, attachment: AttachmentRef, tenant: str = "acme") -> bool:
    try:
        await keeper.read(tenant, attachment)
    except AttachmentLost:
        return False
    return True


async def test_what_is_kept_is_read_back_and_described(keeper: AttachmentKeeper) -> None:
    attachment = await keep(keeper)
    assert await keeper.read("acme", attachment) == PDF
    assert (attachment.name, attachment.content_type, attachment.size) == ("invoice.pdf", "application/pdf", len(PDF))
    assert msgspec.json.decode(msgspec.json.encode(attachment), type=AttachmentRef) == attachment


async def test_a_file_may_be_empty(keeper: AttachmentKeeper) -> None:
    assert await keeper.read("acme", await keep(keeper, content=b"")) == b""


async def test_the_same_bytes_of_a_person_are_one_reference_under_whatever_name(keeper: AttachmentKeeper) -> None:
    first, again, renamed = await keep(keeper), await keep(keeper), await keep(keeper, name="rechnung.pdf")
    assert first == again
    assert renamed == msgspec.structs.replace(first, name="rechnung.pdf")


async def test_other_bytes_another_person_or_another_tenant_are_another_file(keeper: AttachmentKeeper) -> None:
    first = await keep(keeper)
    assert (await keep(keeper, content=b"other")).reference != first.reference
    assert (await keep(keeper, subject="customer-2")).reference != first.reference
    await keep(keeper, tenant="globex")
    await keeper.erase("globex", "customer-1")
    assert await is_there(keeper, first)


async def test_no_tenant_reads_what_another_has_kept(keeper: AttachmentKeeper) -> None:
    attachment = await keep(keeper)
    assert not await is_there(keeper, attachment, tenant="globex")


@pytest.mark.parametrize("reference", ["", "../../secret", "/etc/passwd", "a/b", "\0", "x" * 10_000])
async def test_a_reference_that_was_never_given_leads_nowhere(keeper: AttachmentKeeper, reference: str) -> None:
    attachment = await keep(keeper)
    with pytest.raises(AttachmentLost, match="are not there"):
        await keeper.read("acme", msgspec.structs.replace(attachment, reference=reference))
    await keeper.forget("acme", [reference])
    assert await is_there(keeper, attachment)


async def test_erasing_a_person_leaves_nothing_of_theirs_and_everything_of_others(keeper: AttachmentKeeper) -> None:
    first, second = await keep(keeper), await keep(keeper, content=b"letter")
    other = await keep(keeper, subject="customer-2")
    for _ in range(2):
        await keeper.erase("acme", "customer-1")
        found = [await is_there(keeper, attachment) for attachment in (first, second, other)]
        assert found == [False, False, True]
    assert await keep(keeper) == first
    assert await is_there(keeper, first)


async def test_what_is_forgotten_is_gone_and_may_be_forgotten_again(keeper: AttachmentKeeper) -> None:
    first, second = await keep(keeper), await keep(keeper, content=b"letter")
    for _ in range(2):
        await keeper.forget("acme", [first.reference])
        assert [await is_there(keeper, first), await is_there(keeper, second)] == [False, True]
    await keeper.forget("globex", [second.reference])
    assert await is_there(keeper, second)


async def test_a_reference_with_another_digest_or_size_is_not_believed(keeper: AttachmentKeeper) -> None:
    attachment = await keep(keeper)
    for change in ({"digest": "0" * 64}, {"size": 1}):
        with pytest.raises(AttachmentLost, match="have changed"):
            await keeper.read("acme", msgspec.structs.replace(attachment, **change))


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        " ",
        " a",
        "a ",
        "=?utf-8?q?a?=",
        "a/b.pdf",
        "..\\b.pdf",
        "a\r\nBcc: eve@example.com",
        "a\0",
        "a\u2028b",
        "a\x7f",
        "x" * 151,
    ],
)
async def test_a_name_that_is_none_of_a_file_is_refused(keeper: AttachmentKeeper, name: str) -> None:
    with pytest.raises(InvalidField) as refused:
        await keep(keeper, name=name)
    assert refused.value.field == "name"


async def test_a_long_name_in_any_script_is_fine(keeper: AttachmentKeeper) -> None:
    name = "請求書 – größe 'final' (2).pdf".ljust(ATTACHMENT_NAME_CHARACTERS_MAX, "x")
    assert (await keep(keeper, name=name)).name == name


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "pdf", "application/", "Application/PDF", "text/plain; charset=utf-8", "a/b\r\nX: y", "a/" + "b" * 99),
        *("multipart/mixed", "message/rfc822"),
    ],
)
async def test_a_content_type_that_is_none_of_a_file_is_refused(keeper: AttachmentKeeper, content_type: str) -> None:
    with pytest.raises(InvalidField) as refused:
        await keep(keeper, content_type=content_type)
    assert refused.value.field == "content_type"


async def test_a_file_has_a_limit_that_says_how_to_go_on(keeper: AttachmentKeeper) -> None:
    assert await is_there(keeper, await keep(keeper, content=bytes(ATTACHMENT_BYTES_MAX)))
    with pytest.raises(InvalidInput, match="Send a link"):
        await keep(keeper, content=bytes(ATTACHMENT_BYTES_MAX + 1))
