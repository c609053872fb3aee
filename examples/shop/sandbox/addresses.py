"""Where the servers listen: the file DIR/addresses.json that the process writes once all of them answer."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

FILE_NAME = "addresses.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The ports and URLs (`http://127.0.0.1:PORT`, no slash at the end) of one running sandbox, all on 127.0.0.1.

    `sms_account_sid` and `sms_auth_token` are the only credentials that the SMS provider takes; it signs its status
    callbacks with the token. The billing API signs its events with `billing_webhook_secret` ("whsec_…").
    """

    smtp_port: int
    sms_url: str
    billing_url: str
    control_url: str
    pid: int
    sms_account_sid: str
    sms_auth_token: str
    billing_webhook_secret: str

    def write(self, directory: Path) -> None:
        """Write DIR/addresses.json in one step: a reader finds no file or a whole one."""
        draft = directory / f"{FILE_NAME}.{os.getpid()}"
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        draft.replace(directory / FILE_NAME)

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read DIR/addresses.json.

        Raises FileNotFoundError while the servers are not up, and TypeError or ValueError for a file that
        something else wrote.
        """
        return cls(**json.loads((directory / FILE_NAME).read_text(encoding="utf-8")))
