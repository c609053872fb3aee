"""Puts a bug back in a run of pytest: ``-p tests.reliability.bug_plugin --bug=NAME``."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.reliability.bugs import put_back


def pytest_addoption(parser: pytest.Parser) -> None:
    """The name of the bug."""
    parser.addoption("--bug", default="", help="a bug of tests/reliability/bugs.py")


def pytest_configure(config: pytest.Config) -> None:
    """From now on it is there, until the run ends."""
    stack = ExitStack()
    stack.enter_context(put_back(str(config.getoption("--bug"))))
    config.add_cleanup(stack.close)
