import smtplib
from email.message import EmailMessage

import pytest

from examples.shop.sandbox.behaviours import BehaviourName
from examples.shop.sandbox.client import Sandbox
from tests.sandbox.senders import Senders, letter, wait_until

ANNA = "anna@example.com"
BERT = "bert@example.com"


def outcomes(sandbox: Sandbox) -> list[str]:
    return [attempt.outcome for attempt in sandbox.requests("email")]


def test_a_mail_is_in_the_file_when_its_reply_arrives(sandbox: Sandbox, send: Senders) -> None:
    mail = letter("Grüße aus Köln\n", "<order-7@shop.example.com>")
    mail["X-Duly-Effect"] = "effect-7"
    assert send.mail(ANNA, mail=mail) == {}
    last = sandbox.recorded("email")[-1]
    assert (last.recipient, last.reference, last.effect) == (ANNA, "<order-7@shop.example.com>", "effect-7")
    assert (last.body, last.behaviour) == ("Your order\n\nGrüße aus Köln\n", None)
    assert outcomes(sandbox) == ["accepted"]


def test_a_mail_without_message_id_has_no_reference(sandbox: Sandbox, send: Senders) -> None:
    send.mail(ANNA, mail=letter(message_id=None))
    [taken] = sandbox.accepted("email")
    assert (taken.reference, taken.effect) == (None, None)


def test_the_same_mail_sent_twice_is_taken_twice(sandbox: Sandbox, send: Senders) -> None:
    send.mail(ANNA)
    send.mail(ANNA)
    first, second = sandbox.accepted("email")
    assert first.reference == second.reference
    assert first.provider_id != second.provider_id


def test_the_reply_names_the_queue_id(sandbox: Sandbox, send: Senders) -> None:
    with send.mail_connection() as connection:
        connection.ehlo()
        connection.mail("shop@example.com")
        connection.rcpt(ANNA)
        code, reply = connection.data("Subject: Your order\r\n\r\nHello\r\n")
    assert (code, reply.decode().split()[-1]) == (250, sandbox.accepted("email")[0].provider_id)


def test_of_a_mail_in_two_forms_the_plain_text_is_kept(sandbox: Sandbox, send: Senders) -> None:
    mail = letter("In plain words\n")
    mail.add_alternative("<p>In colour</p>", subtype="html")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="invoice.pdf")
    send.mail(ANNA, mail=mail)
    assert sandbox.accepted("email")[0].body == "Your order\n\nIn plain words\n"


def test_a_mail_in_an_unknown_charset_is_taken_all_the_same(sandbox: Sandbox, send: Senders) -> None:
    mail = letter("Hello\n")
    mail.replace_header("Content-Type", 'text/plain; charset="no-such-charset"')
    send.mail(ANNA, mail=mail)
    assert "Hello" in sandbox.accepted("email")[0].body


def test_a_mail_with_nothing_but_an_attachment_has_an_empty_text(sandbox: Sandbox, send: Senders) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Your invoice"
    mail.set_content(b"%PDF", maintype="application", subtype="pdf")
    send.mail(ANNA, mail=mail)
    assert sandbox.accepted("email")[0].body == "Your invoice\n\n"


@pytest.mark.parametrize(
    ("behaviour", "code", "outcome"),
    [
        ("refuse", 550, "refused"),
        ("unavailable", 451, "unavailable"),
        ("rate_limit", 450, "rate_limited"),
        ("unauthorized", 530, "unauthorized"),
    ],
)
def test_a_recipient_that_is_turned_away_gets_no_mail(
    sandbox: Sandbox, send: Senders, behaviour: BehaviourName, code: int, outcome: str
) -> None:
    sandbox.set_behaviour("email", ANNA, behaviour, times=1)
    with pytest.raises(smtplib.SMTPRecipientsRefused) as refusal:
        send.mail(ANNA)
    assert refusal.value.recipients[ANNA][0] == code
    assert (outcomes(sandbox), sandbox.accepted("email")) == ([outcome], [])
    assert send.mail(ANNA) == {}


def test_one_refused_recipient_does_not_keep_the_mail_from_another(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", ANNA, "refuse")
    assert send.mail(ANNA, BERT) == {ANNA: 550}
    assert [taken.recipient for taken in sandbox.accepted("email")] == [BERT]


def test_a_mail_address_is_the_same_in_capitals(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", "Anna@Example.com", "refuse")
    assert send.mail(ANNA, BERT) == {ANNA: 550}


def test_a_dropped_mail_was_taken_and_is_on_the_record(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", ANNA, "accept_and_drop", times=1)
    with pytest.raises(smtplib.SMTPServerDisconnected, match=r"closed$"):
        send.mail(ANNA)
    [taken] = sandbox.accepted("email")
    assert (taken.recipient, taken.behaviour) == (ANNA, "accept_and_drop")
    assert sandbox.recorded("email")[-1] == taken
    assert outcomes(sandbox) == ["dropped"]
    assert send.mail(ANNA) == {}


def test_a_hung_mail_gets_no_reply_and_was_not_taken(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", ANNA, "hang")
    with pytest.raises(smtplib.SMTPServerDisconnected, match=r"timed out$"):
        send.mail(ANNA, timeout=0.3)
    assert (outcomes(sandbox), sandbox.accepted("email")) == (["hung"], [])


def test_a_mail_taken_in_silence_is_on_the_record(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", ANNA, "accept_and_hang")
    with pytest.raises(smtplib.SMTPServerDisconnected, match=r"timed out$"):
        send.mail(ANNA, BERT, timeout=0.3)
    assert [(taken.recipient, taken.behaviour) for taken in sandbox.accepted("email")] == [
        (ANNA, "accept_and_hang"),
        (BERT, "accept_and_hang"),
    ]
    assert outcomes(sandbox) == ["silent", "silent"]


def test_a_silence_after_taking_a_mail_ends_with_its_acceptance(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", ANNA, "accept_and_hang", seconds=0.05)
    assert send.mail(ANNA) == {}
    assert len(sandbox.accepted("email")) == 1


def test_a_silence_that_is_over_ends_as_a_temporary_failure(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", ANNA, "hang", seconds=0.05)
    with pytest.raises(smtplib.SMTPDataError) as failure:
        send.mail(ANNA, BERT)
    assert failure.value.smtp_code == 451
    assert (outcomes(sandbox), sandbox.accepted("email")) == (["hung", "hung"], [])


def test_a_mail_that_hangs_does_not_keep_others_waiting(sandbox: Sandbox, send: Senders) -> None:
    sandbox.set_behaviour("email", ANNA, "hang")
    with send.mail_connection() as hanging:
        hanging.ehlo()
        hanging.mail("shop@example.com")
        hanging.rcpt(ANNA)
        hanging.docmd("DATA")
        hanging.send("Subject: Your order\r\n\r\nHello\r\n.\r\n")
        wait_until(lambda: outcomes(sandbox) == ["hung"])
        assert send.mail(BERT) == {}
        hanging.close()
