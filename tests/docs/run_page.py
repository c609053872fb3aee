"""Runs the Python blocks of pages, in order, in one namespace: `python run_page.py PAGE…`; outputs as JSON, by page."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from types import ModuleType

from markdown_it import MarkdownIt


def main() -> None:
    session = ModuleType("__page__")
    sys.modules[session.__name__] = session
    print(json.dumps([outputs_of(page, session) for page in sys.argv[1:]]))


def outputs_of(page: str, session: ModuleType) -> list[str]:
    """What each Python block of a page prints; its names stay in *session*."""
    outputs = []
    for fence in MarkdownIt().parse(Path(page).read_text()):
        if fence.type != "fence" or fence.info != "python":
            continue
        captured = io.StringIO()
        line = fence.map[0] + 1 if fence.map else 0
        with contextlib.redirect_stdout(captured):
            exec(compile("\n" * line + fence.content, page, "exec", dont_inherit=True), session.__dict__)
        outputs.append(captured.getvalue())
    return outputs


if __name__ == "__main__":
    main()
