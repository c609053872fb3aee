"""Attachments as files below one folder, which every process of the application sees.

``<folder>/<tenant>/<subject>/<digest>``, where each part is a digest: no part of a path ever comes from input. Erasing
a person is the removal of one directory.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final
from uuid import uuid4

from duly.messages.attachment import AttachmentRef, bytes_digest
from duly.messages.identity import digest_of
from duly.ports.attachments import described, verified

_OWNER_CHARACTERS: Final = 32
_REFERENCE: Final = re.compile(rf"[0-9a-f]{{{_OWNER_CHARACTERS}}}/[0-9a-f]{{64}}")
_ERASING: Final = "erasing"
_WRITES_MAX: Final = 20


class FolderAttachments:
    """Keeps each attachment as one file. All of it is done outside the event loop."""

    def __init__(self, folder: str | Path) -> None:
        """*folder* is made when it is first needed; on several hosts it must be a shared file system."""
        self._folder = Path(folder)

    async def keep(self, tenant: str, subject: str, name: str, content_type: str, content: bytes) -> AttachmentRef:
        """Write *content* and wait until the disk has it. Raises `InvalidField`, `PayloadTooLarge`, `OSError`."""
        return await asyncio.to_thread(self._keep, tenant, subject, name, content_type, content)

    async def read(self, tenant: str, attachment: AttachmentRef) -> bytes:
        """The bytes. Raises `AttachmentLost`; `OSError` when the folder cannot be read at all."""
        return await asyncio.to_thread(self._read, tenant, attachment)

    async def erase(self, tenant: str, subject: str) -> None:
        """Remove the directory of a person. Raises `OSError`; then it may be repeated."""
        await asyncio.to_thread(self._erase, tenant, subject)

    async def forget(self, tenant: str, references: Sequence[str]) -> None:
        """Remove these files. Raises `OSError`; then it may be repeated."""
        await asyncio.to_thread(self._forget, tenant, references)

    def _keep(self, tenant: str, subject: str, name: str, content_type: str, content: bytes) -> AttachmentRef:
        attachment = described(f"{_owner(subject)}/{bytes_digest(content)}", name, content_type, content)
        path = self._of_tenant(tenant) / attachment.reference
        for writes in range(1, _WRITES_MAX + 1):
            try:
                _write(path, content)
            except FileNotFoundError:
                # Somebody is erasing this person at the same moment, and has taken the directory away.
                if writes == _WRITES_MAX:
                    raise
            else:
                break
        return attachment

    def _read(self, tenant: str, attachment: AttachmentRef) -> bytes:
        content: bytes | None = None
        if _REFERENCE.fullmatch(attachment.reference):
            with suppress(FileNotFoundError):
                content = (self._of_tenant(tenant) / attachment.reference).read_bytes()
        return verified(attachment, content)

    def _erase(self, tenant: str, subject: str) -> None:
        of_tenant = self._of_tenant(tenant)
        erasing = of_tenant / _ERASING
        directory = of_tenant / _owner(subject)
        if directory.exists():
            # Taken away as one, so that nobody can put a file into a directory that is half gone.
            _make_directory(erasing)
            with suppress(FileNotFoundError):
                directory.rename(erasing / uuid4().hex)
            _flush_directory(of_tenant)
        if erasing.exists():
            # Also what an erasure that was killed has left.
            for taken_away in list(erasing.iterdir()):
                # Another erasure may be at the same files: then both stumble, and go on.
                while taken_away.exists():
                    with suppress(FileNotFoundError):
                        shutil.rmtree(taken_away)
            _flush_directory(erasing)

    def _forget(self, tenant: str, references: Sequence[str]) -> None:
        of_tenant = self._of_tenant(tenant)
        for reference in references:
            if _REFERENCE.fullmatch(reference):
                path = of_tenant / reference
                path.unlink(missing_ok=True)
                with suppress(OSError):  # not empty, or gone
                    path.parent.rmdir()

    def _of_tenant(self, tenant: str) -> Path:
        return self._folder / digest_of(tenant)[:_OWNER_CHARACTERS]


def _owner(subject: str) -> str:
    return digest_of(subject)[:_OWNER_CHARACTERS]


def _write(path: Path, content: bytes) -> None:
    """Make *path* hold *content*, whole or not at all, also after a power failure."""
    _make_directory(path.parent)
    if not _holds(path, content):
        unfinished = path.with_name(f"{path.name}.{uuid4().hex}")
        try:
            with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        except BaseException:
            with suppress(OSError):
                unfinished.unlink()
            raise
    # Also for a file that was there: whoever wrote it may not have come so far.
    _flush_directory(path.parent)


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False


def _make_directory(directory: Path) -> None:
    """Make *directory* and those above it, readable by this user only, and flush each new name."""
    missing: list[Path] = []
    while not directory.exists():
        missing.append(directory)
        directory = directory.parent
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir(mode=0o700)
        _flush_directory(each.parent)


def _flush_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
