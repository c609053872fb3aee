"""Attachments on a disk: whole or not at all, out of anybody's reach, and gone when they are erased."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from duly.attachments.folder import FolderAttachments
from duly.errors import AttachmentLost
from duly.messages.attachment import AttachmentRef


def keep(keeper: FolderAttachments, content: bytes = b"bytes", *, tenant: str = "acme", subject: str = "ann") -> Any:
    return keeper.keep(tenant, subject, "invoice.pdf", "application/pdf", content)


def files(folder: Path) -> list[Path]:
    return [each for each in folder.rglob("*") if each.is_file()]


async def test_a_handler_that_runs_twice_keeps_one_file_and_writes_it_once(tmp_path: Path) -> None:
    keeper = FolderAttachments(tmp_path)
    await keep(keeper)
    (before,) = files(tmp_path)
    written = before.stat()
    await keep(keeper)
    (after,) = files(tmp_path)
    assert (after, after.stat().st_ino) == (before, written.st_ino)


@pytest.mark.parametrize("hostile", ["../../../etc", "/etc", "a/b", "..", "", "\0", "x" * 5_000, "ann@example.com"])
async def test_no_part_of_a_path_comes_from_input(tmp_path: Path, hostile: str) -> None:
    keeper = FolderAttachments(tmp_path / "in" / "here")
    attachment = await keep(keeper, tenant=hostile, subject=hostile)
    (file,) = files(tmp_path)
    path = file.relative_to(tmp_path / "in" / "here")
    assert [len(piece) for piece in path.parts] == [32, 32, 64]
    assert set("".join(path.parts)) <= set("0123456789abcdef")
    assert await keeper.read(hostile, attachment) == b"bytes"
    await keeper.erase(hostile, hostile)
    assert files(tmp_path) == []


async def test_files_are_for_this_user_only(tmp_path: Path) -> None:
    await keep(FolderAttachments(tmp_path / "attachments"))
    modes = {each.stat().st_mode & 0o077 for each in (tmp_path / "attachments").rglob("*")}
    assert modes == {0}
    assert (tmp_path / "attachments").stat().st_mode & 0o077 == 0


async def test_every_process_with_the_same_folder_sees_the_same_files(tmp_path: Path) -> None:
    attachment = await keep(FolderAttachments(tmp_path))
    assert await FolderAttachments(str(tmp_path)).read("acme", attachment) == b"bytes"


async def test_changed_bytes_are_noticed_when_they_are_read_and_made_good_when_they_are_kept_again(
    tmp_path: Path,
) -> None:
    keeper = FolderAttachments(tmp_path)
    attachment: AttachmentRef = await keep(keeper)
    (file,) = files(tmp_path)
    for damage in (b"bytez", b"", b"bytes and more"):
        file.write_bytes(damage)
        with pytest.raises(AttachmentLost, match="have changed"):
            await keeper.read("acme", attachment)
        await keep(keeper)
        assert await keeper.read("acme", attachment) == b"bytes"


async def test_a_write_that_fails_leaves_no_file_under_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = FolderAttachments(tmp_path)

    def no_room(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", no_room)
        with pytest.raises(OSError, match="No space left"):
            await keep(keeper)
    assert files(tmp_path) == []
    assert await keeper.read("acme", await keep(keeper)) == b"bytes"


async def test_the_bytes_and_every_new_name_are_flushed_before_they_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []
    flush = os.fsync

    def watched(descriptor: int) -> None:
        flushed.append(os.fstat(descriptor).st_ino)
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", watched)
    await keep(FolderAttachments(tmp_path / "attachments"))
    (file,) = files(tmp_path)
    of_subject, of_tenant, all_of_them, above = file.parents[:4]
    assert above == tmp_path
    order = [above, all_of_them, of_tenant, file, of_subject]
    assert flushed == [each.stat().st_ino for each in order]


async def test_files_are_never_touched_in_the_event_loops_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()
    for name in ("_keep", "_read", "_erase", "_forget"):
        monkeypatch.setattr(FolderAttachments, name, _noting_threads(getattr(FolderAttachments, name), threads))
    keeper = FolderAttachments(tmp_path)
    attachment = await keep(keeper)
    await keeper.read("acme", attachment)
    await keeper.forget("acme", [attachment.reference])
    await keeper.erase("acme", "ann")
    assert threads
    assert threading.get_ident() not in threads


def _noting_threads(method: Any, threads: set[int]) -> Any:
    def noted(*arguments: Any) -> Any:
        threads.add(threading.get_ident())
        return method(*arguments)

    return noted


async def test_an_erasure_that_was_killed_halfway_is_finished_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = FolderAttachments(tmp_path)
    attachment = await keep(keeper)

    def killed(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("duly.attachments.folder.shutil.rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            keeper._erase("acme", "ann")
    assert len(files(tmp_path)) == 1
    with pytest.raises(AttachmentLost):
        await keeper.read("acme", attachment)
    await keeper.erase("acme", "ann")
    assert files(tmp_path) == []


async def test_keeping_erasing_and_forgetting_at_once_never_leaves_half_a_file(tmp_path: Path) -> None:
    keeper = FolderAttachments(tmp_path)
    content = b"x" * 20_000

    async def keeps() -> None:
        for _ in range(30):
            attachment = await keep(keeper, content)
            try:
                assert await keeper.read("acme", attachment) == content
            except AttachmentLost as error:
                assert "are not there" in str(error)  # noqa: PT017

    async def removes() -> None:
        for _ in range(30):
            await keeper.erase("acme", "ann")
            await keeper.forget("acme", [(await keep(keeper, b"other")).reference])

    await asyncio.gather(keeps(), keeps(), removes(), removes())
    await keeper.erase("acme", "ann")
    assert files(tmp_path) == []
