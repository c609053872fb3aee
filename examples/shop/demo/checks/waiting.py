"""Point 7: a process waits for what it needs, in any order, gives up in time, and does the next best thing."""

from collections import Counter

from duly import EffectView
from examples.shop.demo.checks.check import Check, Evidence, equal, troubles_of
from examples.shop.demo.facts import Waits
from examples.shop.demo.plan import Person
from examples.shop.demo.waits import REFUSED_CARD, REFUSED_NOT_TEXTED, REFUSED_UNDELIVERED
from examples.shop.ordering.messages import Money

REGISTERED, ORDERED, GAVE_UP = "CustomerRegisteredPublic", "OrderPlacedPublic", "duly.timeout"
HEARD = {REGISTERED: "registered", ORDERED: "ordered", GAVE_UP: "gave up"}
WELCOME = "SayWelcome"
REFUSAL = ("OrderCancelled", "TextCancellation", "duly.sms")
MAIL = "MailCancellation"
REFUSED = (REFUSED_CARD, REFUSED_NOT_TEXTED, REFUSED_UNDELIVERED)


def processes(evidence: Evidence) -> list[Check]:
    """Point 7."""
    waits = evidence.facts.waits
    assert waits is not None
    welcomed = [
        order.person
        for newcomers in evidence.plan.newcomers
        for order in (newcomers.registers_first, newcomers.orders_first[0])
    ]
    others = [person for newcomers in evidence.plan.newcomers for person in (newcomers.late.person, newcomers.silent)]
    return [
        *troubles_of(7, evidence),
        equal(7, "welcomed after one of the two events", "nobody", _people(waits.welcomed_early)),
        _orders(evidence, waits),
        equal(
            7,
            "welcomed, and how often the provider took it",
            f"{len(welcomed)} of {len(welcomed)} once; taken once",
            _welcomed(evidence, welcomed),
        ),
        _told_again(waits),
        equal(
            7,
            "three days later, without the second event",
            f"{len(others)} of {len(others)} gave up; 0 welcomes",
            _given_up(evidence, waits, others),
        ),
        _cancelled(evidence),
        _mails(evidence),
    ]


def _people(count: int) -> str:
    return f"{count} people" if count else "nobody"


def _orders(evidence: Evidence, waits: Waits) -> Check:
    """The process has heard both events in the order in which they came, and told from neither what the other is."""
    expected: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for newcomers in evidence.plan.newcomers:
        expected[_told((REGISTERED, ORDERED))] += 1
        expected[_told((ORDERED, ORDERED, REGISTERED))] += 1
        for person in (newcomers.registers_first.person, newcomers.orders_first[0].person):
            seen[_told(waits.heard[person.customer_id].names)] += 1
    return equal(7, "what the welcomes have waited for", _counted(expected), _counted(seen))


def _told(names: tuple[str, ...]) -> str:
    return ", ".join(HEARD.get(name, name) for name in names)


def _counted(found: Counter[str]) -> str:
    return "; ".join(f"{count} × {what}" for what, count in sorted(found.items()))


def _welcomed(evidence: Evidence, people: list[Person]) -> str:
    by_person = {person: _welcomes(evidence, person) for person in people}
    once = sum(len(welcomes) == 1 for welcomes in by_person.values())
    taken = {evidence.taken(welcomes) for welcomes in by_person.values()}
    return f"{once} of {len(people)} once; taken {'once' if taken == {1} else f'{sorted(taken)} times'}"


def _welcomes(evidence: Evidence, person: Person) -> list[EffectView]:
    return [effect for effect in evidence.effects_of(person) if effect.chain[-1].name == WELCOME]


def _told_again(waits: Waits) -> Check:
    heard_twice = sum(len(heard.message_ids) - len(set(heard.message_ids)) for heard in waits.heard.values())
    return Check(
        point=7,
        what="every event told to it a second time",
        expected="0 heard twice",
        seen=f"{heard_twice} heard twice, of {waits.told_again}",
        holds=heard_twice == 0 < waits.told_again,
    )


def _given_up(evidence: Evidence, waits: Waits, people: list[Person]) -> str:
    heard = [waits.heard[person.customer_id] for person in people]
    ended = sum(one.is_ended and one.names == (REGISTERED, GAVE_UP) for one in heard)
    welcomes = sum(len(_welcomes(evidence, person)) for person in people)
    return f"{ended} of {waits.gave_up} gave up; {welcomes} welcomes"


def _cancelled(evidence: Evidence) -> Check:
    orders = evidence.plan.in_trouble(*REFUSED)
    seen = Counter(
        f"{found.order_state}, {found.owed} owed"
        for found in (evidence.facts.cards[order.person.customer_id] for order in orders)
    )
    nothing = Money(amount=orders[0].total.amount * 0)
    return equal(7, "orders whose card was refused", f"{len(orders)} × cancelled, {nothing} owed", _counted(seen))


def _mails(evidence: Evidence) -> Check:
    """The mail knows that it goes out in the place of an SMS, and that one, why the order was cancelled."""
    outcomes = {REFUSED_NOT_TEXTED: "duly.effect_failed", REFUSED_UNDELIVERED: "duly.effect_undelivered"}
    expected = Counter(
        " → ".join((*REFUSAL, outcomes[order.trouble], MAIL)) for order in evidence.plan.in_trouble(*outcomes)
    )
    seen = Counter(
        " → ".join(link.name for link in effect.chain[-len(REFUSAL) - 2 :])
        for effect in evidence.effects_to(evidence.plan.in_trouble(*REFUSED))
        if effect.channel == "email" and effect.chain[-1].name == MAIL
    )
    return equal(7, "the chains of causes of the mails instead", _counted(expected), _counted(seen))
