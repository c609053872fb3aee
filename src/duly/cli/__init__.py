"""The command line. It needs the extra `duly[cli]`."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the command ``duly``."""
    try:
        from duly.cli.commands import app
    except ImportError as error:
        if error.name not in ("typer", "rich", "click"):
            raise
        sys.exit("The command line needs typer and rich. Run: pip install 'duly[cli]'")
    app()
