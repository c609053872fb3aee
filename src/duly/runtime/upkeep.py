"""The part of an application that is about what is kept, and for how long."""

from __future__ import annotations

from collections.abc import Sequence

from duly.delivery.archiving import Archived, Archiver
from duly.delivery.housekeeping import Housekeeping, Tidied
from duly.domain.aggregate import Aggregate
from duly.effects.erasing import Erased, Eraser
from duly.effects.retention import RetentionSweep, Swept
from duly.ports.attachments import AttachmentKeeper
from duly.ports.store import Store
from duly.runtime.projections import kept_up
from duly.runtime.settings import Settings
from duly.states.log_retention import LogRetention
from duly.states.retention import Retention
from duly.work.routes import Routes


class Upkeep:
    """What `Duly` offers of it."""

    settings: Settings
    _store: Store
    _routes: Routes
    _attachments: AttachmentKeeper | None
    _retention: tuple[Retention, ...]
    _log_retention: LogRetention | None

    async def erase(self, subject: str, *, tenant: str | None = None, by: str, reason: str) -> Erased:
        """Erase a person from messages, effects and attachments; what waits is not sent. It may be repeated.

        *subject* is what the messages name by ``subject=``, or the stream of their aggregate (``Customer/c-1``). The
        documents of aggregates and tables of your own are yours to change. Raises `InvalidInput`, `StoreError`.
        """
        self._check_open()
        eraser = Eraser(
            self._store,
            hash_key=self._routes.recipient_hash_key,
            on_done=self._committed,
            erase_files=None if self._attachments is None else self._attachments.erase,
        )
        return await eraser.erase(subject, tenant=self._scope(tenant), by=by, reason=reason)

    async def sweep_retention(self) -> Swept:
        """Remove what was kept long enough, now; a worker does so by itself, each `Settings.retention_interval`."""
        self._check_open()
        return await self._retention_sweep().sweep()

    async def sweep_log(self) -> Tidied:
        """Remove command ids whose time is over, and what `LogRetention` says, now; a worker does so by itself."""
        self._check_open()
        return await self._housekeeping().sweep()

    async def archive(
        self,
        aggregate: type[Aggregate] | str,
        ids: str | Sequence[str],
        *,
        tenant: str | None = None,
        by: str,
        reason: str,
    ) -> list[Archived]:
        """Put the events of finished aggregates away, compressed; what became of each. It may be repeated.

        The log has them still, in their places. An event stays that a projection has not seen, or that somebody is
        promised, and with it what follows in its stream. Raises `InvalidInput`, `InvalidMessage`, `StoreError`.
        """
        self._check_open()
        digests = [route.digest for route in kept_up(self._routes.projections)]
        archiver = Archiver(
            self._store, self._routes.aggregates, tenant=self._scope(tenant), digests=digests, by=by, reason=reason
        )
        return await archiver.archive(aggregate, ids)

    def _retention_sweep(self) -> RetentionSweep:
        return RetentionSweep(
            self._store,
            self._retention,
            forget=None if self._attachments is None else self._attachments.forget,
            interval=self.settings.retention_interval,
        )

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(self._store, self._log_retention, interval=self.settings.retention_interval)

    def _check_open(self) -> None:
        raise NotImplementedError

    def _scope(self, tenant: str | None) -> str | None:
        raise NotImplementedError

    def _committed(self, promised: bool, intended: bool) -> None:
        raise NotImplementedError
