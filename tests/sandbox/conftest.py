"""One sandbox for all tests of a worker, as new before each of them."""

from collections.abc import Iterator

import httpx
import pytest

from examples.shop.sandbox.client import Sandbox, start
from tests.sandbox.receiver import Receiver, listening
from tests.sandbox.senders import Senders


@pytest.fixture(scope="session")
def running_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with start(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox
    # A server that failed inside would otherwise go unseen: its client just gets a 500 or a lost connection.
    assert (sandbox.directory / "stderr.txt").read_text() == ""


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False, timeout=5) as client:
        yield client


@pytest.fixture
def sandbox(running_sandbox: Sandbox) -> Sandbox:
    running_sandbox.reset()
    return running_sandbox


@pytest.fixture
def send(sandbox: Sandbox, http: httpx.Client) -> Senders:
    return Senders(sandbox, http)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as receiver:
        yield receiver
