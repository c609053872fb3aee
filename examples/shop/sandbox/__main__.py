"""Run the sandbox: python -m examples.shop.sandbox --directory DIR [--parent-pid PID] [--webhook-secret whsec_…]"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from standardwebhooks import Webhook

from examples.shop.sandbox import smtp
from examples.shop.sandbox.addresses import Addresses
from examples.shop.sandbox.behaviours import Behaviours
from examples.shop.sandbox.billing import BillingProvider
from examples.shop.sandbox.billing_events import WEBHOOK_SECRET
from examples.shop.sandbox.control import Control
from examples.shop.sandbox.courier import Courier
from examples.shop.sandbox.http_server import HttpServer
from examples.shop.sandbox.receipt_rules import ReceiptRules
from examples.shop.sandbox.record import Record
from examples.shop.sandbox.settings import SettingsInForce
from examples.shop.sandbox.sms import ACCOUNT_SID, AUTH_TOKEN, SmsProvider

PARENT_POLL_SECONDS = 0.2


async def run(directory: Path, parent_pid: int | None, webhook_secret: str = WEBHOOK_SECRET) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end; DIR/addresses.json is there once all servers answer."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    record, behaviours = Record(directory), Behaviours()
    receipts, settings, courier = ReceiptRules(), SettingsInForce(), Courier(record)
    sms = SmsProvider(record, behaviours, receipts, settings, courier, stopping)
    billing = BillingProvider(record, behaviours, receipts, settings, courier, stopping, webhook_secret)

    def forget() -> None:
        sms.forget()
        billing.forget()

    sms_server, billing_server = HttpServer(sms.app()), HttpServer(billing.app())
    control = Control(
        record=record,
        behaviours=behaviours,
        receipts=receipts,
        settings=settings,
        courier=courier,
        forget=forget,
        forget_keys=billing.forget_keys,
    )
    control_server = HttpServer(control.app())
    http_servers = (sms_server, billing_server, control_server)
    mail_server, smtp_port = await smtp.listen(smtp.MailHandler(record, behaviours, stopping))
    await asyncio.gather(*(server.start() for server in http_servers))

    addresses = Addresses(
        smtp_port=smtp_port,
        sms_url=sms_server.url,
        billing_url=billing_server.url,
        control_url=control_server.url,
        pid=os.getpid(),
        sms_account_sid=ACCOUNT_SID,
        sms_auth_token=AUTH_TOKEN,
        billing_webhook_secret=webhook_secret,
    )
    addresses.write(directory)

    if parent_pid is None:
        await stopping.wait()
    else:
        await _wait_with_parent(parent_pid, stopping)
    stopping.set()
    # Open SMTP sessions are not waited for: asyncio.run cancels them.
    mail_server.close()
    # Before the servers, whose answers may wait for a receipt, and after them.
    await courier.forget()
    await asyncio.gather(*(server.stop() for server in http_servers))
    await courier.close()


async def _wait_with_parent(parent_pid: int, stopping: asyncio.Event) -> None:
    # A parent of our own that died has handed us to another process, which holds even while it is a zombie;
    # of a process that is not our parent (a shell stands between) all we can ask is whether it is there.
    is_own_parent = os.getppid() == parent_pid
    while not stopping.is_set():
        if is_own_parent and os.getppid() != parent_pid:
            return
        if not is_own_parent and not _exists(parent_pid):
            return
        try:
            async with asyncio.timeout(PARENT_POLL_SECONDS):
                await stopping.wait()
        except TimeoutError:
            continue


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _webhook_secret(given: str) -> str:
    try:
        Webhook(given)
    except Exception as wrong:  # EmptyWebhookSecretError and binascii.Error have no parent in common but this
        raise argparse.ArgumentTypeError(f"it is whsec_ and then base64 of 24 to 64 bytes: {wrong}") from None
    return given


def main() -> None:
    """Read the arguments and run; ends with 0 after a signal or the parent's end."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop.sandbox", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="for addresses.json and the records; made if new")
    parser.add_argument("--parent-pid", type=int, help="stop when this process has ended")
    parser.add_argument(
        "--webhook-secret", type=_webhook_secret, default=WEBHOOK_SECRET, help="signs the billing API's events"
    )
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(run(directory, arguments.parent_pid, arguments.webhook_secret))


if __name__ == "__main__":
    main()
