"""What promises are measured with: one event of each kind, heard by 1, by 10 and by 100 subscribers."""

from __future__ import annotations

from typing import Final

from duly import Aggregate, Command, DomainEvent, Duly, Module, Repository

TENANT: Final = "acme"
TEXT: Final = "The doors open at nine."
SUBSCRIBERS: Final = (1, 10, 100)
CYCLE: Final = len(SUBSCRIBERS)


class Announce(Command):
    number: int
    subscribers: int


class HeardByOne(DomainEvent):
    announcement: str
    text: str


class HeardByTen(DomainEvent):
    announcement: str
    text: str


class HeardByHundred(DomainEvent):
    announcement: str
    text: str


EVENTS: Final = dict(zip(SUBSCRIBERS, (HeardByOne, HeardByTen, HeardByHundred), strict=True))


class Announcement(Aggregate):
    text: str


def application(url: str) -> Duly:
    """The application, without a worker."""
    module = Module("announcements")

    @module.command
    async def announce(command: Announce, announcements: Repository[Announcement]) -> None:
        announcement = Announcement(id=announcement_id(command.number, command.subscribers), text=TEXT)
        announcement.record(EVENTS[command.subscribers](announcement=announcement.id, text=TEXT))
        announcements.add(announcement)

    for count, event in EVENTS.items():
        for number in range(count):
            _subscribe(module, event, number)
    return Duly(modules=[module], store=url, worker=False)


def announcement_id(number: int, subscribers: int) -> str:
    """The id of an announcement."""
    return f"announcement-{number}-{subscribers}"


def _subscribe(module: Module, event_type: type[DomainEvent], number: int) -> None:
    async def hear(event: DomainEvent) -> None:
        """Nobody runs this here: what is measured is the promise."""

    hear.__annotations__["event"] = event_type
    hear.__name__ = hear.__qualname__ = f"hear_{event_type.__name__.lower()}_{number}"
    module.after_commit(hear)
