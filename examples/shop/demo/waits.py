"""Point 7: people for whom a process waits, and what must become of what they order."""

from examples.shop.demo.troubles import WITH_A_MAIL_INSTEAD, Behaviour, Report, trouble

# A welcome: one SMS more.
REGISTERS_FIRST = trouble("registered, then ordered: welcomed", 7, {}, {"sms": ("accepted", "accepted")}, {})
ORDERS_FIRST = trouble(
    "ordered twice as a guest, then registered: welcomed", 7, {}, {"sms": ("accepted", "accepted")}, {}
)
AGAIN = trouble("the second order of a guest", 7, {}, {}, {})
TOO_LATE = trouble("ordered when it had given up: not welcomed", 7, {}, {}, {})

# Paid by card. What the bank refuses is not invoiced.
PAID_BY_CARD = trouble("paid by card", 7, {}, {}, {})
REFUSED_CARD = trouble("card refused, order cancelled: an SMS says so", 7, {}, {"billing": ()}, {})
REFUSED_NOT_TEXTED = trouble(
    "the same, SMS refused: a mail instead",
    7,
    {"sms": Behaviour(name="refuse")},
    {"email": WITH_A_MAIL_INSTEAD, "sms": ("failed",), "billing": ()},
    {"sms": 0},
)
REFUSED_UNDELIVERED = trouble(
    "the same, SMS not delivered: a mail instead",
    7,
    {},
    {"email": WITH_A_MAIL_INSTEAD, "billing": ()},
    {},
    {"sms": Report(result="undelivered")},
)

WELCOMED = (REGISTERS_FIRST, ORDERS_FIRST)
BY_CARD = (PAID_BY_CARD, REFUSED_CARD, REFUSED_NOT_TEXTED, REFUSED_UNDELIVERED)
WAITS = (*WELCOMED, TOO_LATE, *BY_CARD)
