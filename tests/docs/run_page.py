"""Runs the Python blocks of a page, in order, in one namespace: `python run_page.py PAGE`; outputs as a JSON list."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from pathlib import Path
from types import ModuleType

from markdown_it import MarkdownIt


def main() -> None:
    fences = [token for token in MarkdownIt().parse(Path(sys.argv[1]).read_text()) if token.type == "fence"]
    page = ModuleType("__page__")
    sys.modules[page.__name__] = page
    outputs = []
    for fence in fences:
        if fence.info != "python":
            continue
        captured = io.StringIO()
        line = fence.map[0] + 1 if fence.map else 0
        with contextlib.redirect_stdout(captured):
            exec(compile("\n" * line + fence.content, sys.argv[1], "exec", dont_inherit=True), page.__dict__)
        outputs.append(captured.getvalue())
    print(json.dumps(outputs))


if __name__ == "__main__":
    main()
