"""Run the sandbox: python -m examples.shop.sandbox --directory DIR [--parent-pid PID]"""

import argparse
import asyncio
import os
import signal
from pathlib import Path

from examples.shop.sandbox import control, smtp
from examples.shop.sandbox.addresses import Addresses
from examples.shop.sandbox.behaviours import Behaviours
from examples.shop.sandbox.billing import BillingProvider
from examples.shop.sandbox.http_server import HttpServer
from examples.shop.sandbox.record import Record
from examples.shop.sandbox.sms import ACCOUNT_SID, AUTH_TOKEN, SmsProvider

PARENT_POLL_SECONDS = 0.2


async def run(directory: Path, parent_pid: int | None) -> None:
    """Serve until SIGTERM, SIGINT or the parent's end; DIR/addresses.json is there once all servers answer."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)

    record, behaviours = Record(directory), Behaviours()
    sms = SmsProvider(record, behaviours, stopping)
    billing = BillingProvider(record, behaviours, stopping)

    def forget() -> None:
        sms.forget()
        billing.forget()

    sms_server, billing_server = HttpServer(sms.app()), HttpServer(billing.app())
    control_server = HttpServer(control.app(record, behaviours, forget))
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
    )
    addresses.write(directory)

    if parent_pid is None:
        await stopping.wait()
    else:
        await _wait_with_parent(parent_pid, stopping)
    stopping.set()
    # Open SMTP sessions are not waited for: asyncio.run cancels them.
    mail_server.close()
    await asyncio.gather(*(server.stop() for server in http_servers))


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


def main() -> None:
    """Read the arguments and run; ends with 0 after a signal or the parent's end."""
    parser = argparse.ArgumentParser(prog="python -m examples.shop.sandbox", description=__doc__)
    parser.add_argument("--directory", type=Path, required=True, help="for addresses.json and the records; made if new")
    parser.add_argument("--parent-pid", type=int, help="stop when this process has ended")
    arguments = parser.parse_args()
    directory: Path = arguments.directory
    directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(run(directory, arguments.parent_pid))


if __name__ == "__main__":
    main()
