"""What a class of event-sourced aggregates may be, and what its objects refuse."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, cast

import pytest

from duly import ConfigurationError, DomainEvent, Entity, EventSourced, Personal, UnrecordedChange, Value, applies
from duly.domain.aggregate import take_recorded
from duly.domain.event_sourced import apply_mistakes, check_state, events_of, replay, table_of

if TYPE_CHECKING:
    from somewhere import Elsewhere  # type: ignore[import-not-found]


class Opened(DomainEvent):
    owner: str


class Deposited(DomainEvent):
    amount: int


class Withdrawn(DomainEvent):
    amount: int


class Looked(DomainEvent):
    pass


class Named(DomainEvent):
    name: Personal[str]


class Account(EventSourced, ignores=(Looked,)):
    limit: ClassVar[int] = 100
    owner: str = ""
    balance: int = 0

    @applies
    def opened(self, event: Opened) -> None:
        self.owner = event.owner

    @applies
    def moved(self, event: Deposited | Withdrawn) -> None:
        self.balance += event.amount if isinstance(event, Deposited) else -event.amount


class Savings(Account):
    rate: int = 0

    @applies
    def opened(self, event: Opened) -> None:
        super().opened(event)
        self.rate = 2


def opened() -> Account:
    account = Account(id="a")
    account.record(Opened(owner="Ann"))
    return account


def test_recording_applies_at_once_and_counts() -> None:
    account = opened()
    account.record(Deposited(amount=5))
    account.record(Looked())
    account.record(Withdrawn(amount=2))
    assert (account.owner, account.balance, events_of(account)) == ("Ann", 3, 4)
    assert [(recorded.number, type(recorded.event)) for recorded in take_recorded(account)] == [
        (1, Opened),
        (2, Deposited),
        (3, Looked),
        (4, Withdrawn),
    ]


def test_a_replay_makes_the_same_and_records_nothing() -> None:
    account = Account(id="a")
    replay(account, [Opened(owner="Ann"), Deposited(amount=5), Looked()])
    assert (account.owner, account.balance, events_of(account)) == ("Ann", 5, 3)
    assert take_recorded(account) == []
    assert type(account) is Account


def test_a_subclass_may_apply_more() -> None:
    savings = Savings(id="s")
    savings.record(Opened(owner="Ann"))
    savings.record(Deposited(amount=1))
    assert (savings.owner, savings.rate, savings.balance) == ("Ann", 2, 1)


def test_fields_are_set_by_applies_methods_only() -> None:
    account = opened()
    with pytest.raises(UnrecordedChange, match=r"Account.balance was set outside of an applies method"):
        account.balance = 5
    with pytest.raises(UnrecordedChange, match="Account.balance"):
        del account.balance
    with pytest.raises(UnrecordedChange, match="Account.owner"):
        account.opened(Opened(owner="Bob"))
    with pytest.raises(UnrecordedChange, match="Account.id"):
        account.id = "b"
    with pytest.raises(UnrecordedChange, match="Account.blance"):
        account.blance = 5  # type: ignore[attr-defined]
    assert (account.id, account.owner, account.balance) == ("a", "Ann", 0)


def test_an_aggregate_begins_with_its_id_alone() -> None:
    with pytest.raises(UnrecordedChange, match=r"made with owner. An event-sourced aggregate begins with its id"):
        Account(id="a", owner="Ann")
    with pytest.raises(UnrecordedChange, match="made with no id"):
        cast("Any", Account)()


def test_an_event_that_nothing_applies_is_refused_with_both_cures() -> None:
    account = opened()
    with pytest.raises(UnrecordedChange, match=r"(?s)Write @applies def .*ignores=\(Named,\)"):
        account.record(Named(name="Ann"))
    assert events_of(account) == 1


class Failing(EventSourced):
    balance: int = 0

    @applies
    def deposited(self, event: Deposited) -> None:
        self.balance += event.amount
        raise ValueError("half-way")

    @applies
    def opened(self, event: Opened) -> None:
        cast("Any", self).ownr = event.owner

    @applies
    def looked(self, event: Looked) -> None:
        self.record(Deposited(amount=1))


def test_an_aggregate_whose_applies_method_failed_can_do_nothing_more() -> None:
    failing = Failing(id="f")
    with pytest.raises(ValueError, match="half-way"):
        failing.record(Deposited(amount=1))
    with pytest.raises(UnrecordedChange, match=r"Failing 'f' is half changed: .*half-way"):
        failing.record(Looked())
    with pytest.raises(UnrecordedChange, match="half changed"):
        check_state(failing)
    assert type(failing) is Failing


def test_an_applies_method_sets_no_field_that_there_is_not() -> None:
    with pytest.raises(UnrecordedChange, match="it set ownr, which is no field"):
        Failing(id="f").record(Opened(owner="Ann"))


def test_an_applies_method_records_nothing() -> None:
    with pytest.raises(UnrecordedChange, match="An applies method of Failing recorded an event"):
        Failing(id="f").record(Looked())


class Line(Entity):
    count: int


class Period(Value):
    marks: list[int]


class Colour(Enum):
    RED = "red"


@dataclass
class Plain:
    count: int = 0


class Basket(EventSourced):
    total: Decimal | None = None
    colour: Colour = Colour.RED
    at: datetime | None = None
    names: tuple[str, ...] = ()
    codes: frozenset[int] = frozenset()
    lines: list[Line] = []
    first: Line | None = None
    pairs: tuple[tuple[str, Line], ...] = ()
    counts: dict[str, int] = {}
    tags: set[str] = set()
    period: Period | None = None
    plain: Plain | None = None

    @applies
    def deposited(self, event: Deposited) -> None:
        line = Line(count=event.amount)
        self.lines.append(line)
        self.first = self.first or line
        self.pairs = (*self.pairs, ("one", line))
        self.counts["one"] = event.amount
        self.tags.add("one")
        self.period = Period(marks=[event.amount])
        self.plain = Plain(event.amount)


def test_only_what_can_change_in_itself_is_compared() -> None:
    assert table_of(Account).mutable == ()
    assert table_of(Basket).mutable == ("lines", "first", "pairs", "counts", "tags", "period", "plain")


@pytest.mark.parametrize(
    "meddle",
    [
        lambda basket: basket.lines.append(Line(count=9)),
        lambda basket: setattr(basket.first, "count", 9),
        lambda basket: setattr(basket.pairs[0][1], "count", 9),
        lambda basket: basket.counts.update(two=2),
        lambda basket: basket.tags.clear(),
        lambda basket: basket.period.marks.append(9),
        lambda basket: setattr(basket.plain, "count", 9),
    ],
)
def test_what_changes_inside_without_an_event_is_noticed(meddle: Any) -> None:
    basket = Basket(id="b")
    basket.record(Deposited(amount=1))
    check_state(basket)
    meddle(basket)
    with pytest.raises(UnrecordedChange, match="Something in Basket 'b' .* was changed without an event"):
        check_state(basket)
    with pytest.raises(UnrecordedChange, match="without an event"):
        basket.record(Deposited(amount=2))


def test_what_changes_inside_before_the_first_event_is_noticed_too() -> None:
    basket = Basket(id="b")
    check_state(basket)
    basket.lines.append(Line(count=1))
    with pytest.raises(UnrecordedChange, match="without an event"):
        basket.record(Deposited(amount=2))


# Mistakes in the class, told at the start.


class NoDefault(EventSourced):
    owner: str


class Twice(EventSourced):
    @applies
    def first(self, event: Opened) -> None: ...

    @applies
    def second(self, event: Deposited | Opened) -> None: ...


class NoEvent(EventSourced):
    @applies  # type: ignore[type-var]
    def number(self, event: int) -> None: ...


class TooWide(EventSourced):
    @applies
    def anything(self, event: DomainEvent) -> None: ...


class Bare(EventSourced):
    @applies  # type: ignore[arg-type]
    def nothing(self) -> None: ...


class Waits(EventSourced):
    @applies  # type: ignore[arg-type]
    async def opened(self, event: Opened) -> None: ...


class Hidden(EventSourced):
    @applies
    def elsewhere(self, event: Elsewhere) -> None: ...


class Forgets(Account):
    def opened(self, event: Opened) -> None: ...


class Both(EventSourced, ignores=(Opened,)):
    @applies
    def opened(self, event: Opened) -> None: ...


class IgnoresLines(EventSourced, ignores=cast("Any", (Line,))):
    pass


class Never(EventSourced, snapshot_every=0):
    pass


class Keeps(EventSourced, snapshot_every=10):
    @applies
    def named(self, event: Named) -> None: ...


class Renamed(EventSourced, formerly=("Older", "Oldest")):
    pass


@pytest.mark.parametrize(
    ("cls", "mistake"),
    [
        (NoDefault, r"NoDefault.owner has no default. It has a value before the first event"),
        (Twice, r"Twice applies Opened twice: in first and in second. Keep one"),
        (NoEvent, r"NoEvent.number applies int, which is no DomainEvent of yours"),
        (TooWide, r"TooWide.anything applies DomainEvent, which is no DomainEvent of yours"),
        (Bare, r"Bare.nothing cannot apply events. Write it as @applies def"),
        (Waits, r"Waits.opened cannot apply events"),
        (Hidden, r"Hidden.elsewhere: its annotations cannot be read .*not under TYPE_CHECKING"),
        (Forgets, r"Forgets.opened takes the place of an applies method without being one"),
        (Both, r"Both ignores Opened, and opened applies it"),
        (IgnoresLines, r"IgnoresLines ignores .*Line.*, which is no type of domain events"),
        (Never, r"Never has snapshot_every=0. Use a number of events"),
        (Keeps, r"Keeps takes snapshots and applies Named, whose name can be erased"),
        (Renamed, r"Keep it: class Renamed\(EventSourced, name='Oldest'\)"),
    ],
)
def test_each_mistake_in_a_class_is_told_with_its_cure(cls: type[EventSourced], mistake: str) -> None:
    (told,) = apply_mistakes(cls)
    with pytest.raises(ConfigurationError, match=mistake) as caught:
        table_of(cls)
    assert caught.value.mistakes == (told,)


def test_a_class_without_mistakes_has_none() -> None:
    for cls in (Account, Savings, Basket, Failing):
        assert apply_mistakes(cls) == []
