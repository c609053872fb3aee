import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from examples.shop.sandbox.addresses import Addresses
from examples.shop.sandbox.client import REPOSITORY, SandboxDidNotStart, Settings, start
from tests.sandbox.senders import Senders, wait_until

START_AND_DIE = """
import os, pathlib, signal, sys
from examples.shop.sandbox.client import start
start(pathlib.Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_the_addresses_lead_to_servers_of_another_process(tmp_path: Path) -> None:
    with start(tmp_path / "new") as sandbox:
        written = json.loads((tmp_path / "new" / "addresses.json").read_text())
        assert written["pid"] == sandbox.addresses.pid != os.getpid()
        assert is_listening(written["smtp_port"])
        for url in (written["sms_url"], written["billing_url"], written["control_url"]):
            assert url.startswith("http://127.0.0.1:")
            assert is_listening(int(url.rpartition(":")[2]))


def test_a_sandbox_that_hangs_on_every_channel_stops_at_once(tmp_path: Path, http: httpx.Client) -> None:
    with start(tmp_path) as sandbox:
        send = Senders(sandbox, http)
        for channel in ("billing", "email"):
            sandbox.set_behaviour(channel, "*", "hang", seconds=3600)
        invoice, mail = send.unread_invoice("cus_1", "key-1"), send.mail_connection()
        mail.ehlo()
        mail.mail("shop@example.com")
        mail.rcpt("a@example.com")
        mail.docmd("DATA")
        mail.send("Subject: Your order\r\n\r\nHello\r\n.\r\n")
        wait_until(lambda: len(sandbox.requests("billing")) == len(sandbox.requests("email")) == 1)
        assert sandbox.stop() == 0
        invoice.close()
        mail.close()
    assert not is_listening(sandbox.addresses.smtp_port)
    assert (tmp_path / "stderr.txt").read_text() == ""


def test_a_sandbox_with_receipts_on_their_way_stops_at_once(tmp_path: Path, http: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, start(tmp_path) as sandbox:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        sandbox.set_settings(Settings(receipt_delay_seconds=0))
        assert Senders(sandbox, http).sms("+4915112345678", StatusCallback=url).status_code == 201
        silent.accept()[0].close()  # the first receipt is on its way; the next one will wait for an answer
        wait_until(lambda: sandbox.pending_receipts() == 2)
        assert sandbox.stop() == 0
    assert (tmp_path / "stderr.txt").read_text() == ""


def test_a_sandbox_whose_early_receipt_gets_no_answer_stops(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, start(tmp_path) as sandbox:
        sandbox.set_settings(Settings(webhook_url=f"http://127.0.0.1:{silent.getsockname()[1]}"))
        sandbox.set_receipts("billing", "*", "early")
        with httpx.Client(trust_env=False) as http:
            invoice = Senders(sandbox, http).unread_invoice("cus_1", "key-1")
        with silent.accept()[0]:
            assert sandbox.stop() == 0
        invoice.close()
    assert (tmp_path / "stderr.txt").read_text() == ""


def test_an_interrupt_stops_it_too(tmp_path: Path) -> None:
    with start(tmp_path) as sandbox:
        os.kill(sandbox.addresses.pid, signal.SIGINT)
        wait_until(lambda: not is_listening(sandbox.addresses.smtp_port))
        assert sandbox.stop() == 0


def test_a_sandbox_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    started = subprocess.run([sys.executable, "-c", START_AND_DIE, tmp_path], cwd=REPOSITORY, timeout=20, check=False)
    assert started.returncode == -signal.SIGKILL
    port = Addresses.read(tmp_path).smtp_port
    wait_until(lambda: not is_listening(port))


def test_a_sandbox_ends_with_a_process_that_is_not_its_parent(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        options = ["--directory", str(tmp_path), "--parent-pid", str(other.pid)]
        with subprocess.Popen([sys.executable, "-m", "examples.shop.sandbox", *options], cwd=REPOSITORY) as process:
            try:
                wait_until((tmp_path / "addresses.json").exists)
                assert process.poll() is None
                other.communicate(b"\n")
                assert process.wait(timeout=5) == 0
            finally:
                process.kill()


def test_the_addresses_of_an_earlier_sandbox_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    with start(tmp_path) as earlier:
        pass
    with start(tmp_path) as sandbox:
        assert sandbox.addresses.pid != earlier.addresses.pid
        assert sandbox.accepted("sms") == []


def test_the_record_of_an_earlier_sandbox_is_added_to(tmp_path: Path, http: httpx.Client) -> None:
    with start(tmp_path) as earlier:
        first = Senders(earlier, http).sms("+4915112345678").json()["sid"]
    with start(tmp_path) as sandbox:
        second = Senders(sandbox, http).sms("+4915112345678").json()["sid"]
    assert [taken.provider_id for taken in sandbox.recorded("sms")] == [first, second]


def test_a_process_that_ends_too_early_is_an_error_with_its_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path, "echo 'no room at the inn' >&2; exit 3"))
    with pytest.raises(SandboxDidNotStart, match="ended with status 3; its stderr:\nno room at the inn"):
        start(tmp_path)


def test_a_process_that_keeps_silent_is_an_error_and_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", program(tmp_path, "echo $$ > pid; exec sleep 600"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SandboxDidNotStart, match=r"kept silent for 0\.3 s"):
        start(tmp_path, time_limit=0.3)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_the_outside_world_does_not_know_the_framework() -> None:
    code = "import sys, examples.shop.sandbox.__main__, examples.shop.sandbox.client; sys.exit('duly' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def program(directory: Path, script: str) -> str:
    path = directory / "program"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)
