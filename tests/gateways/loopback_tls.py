"""A certificate for 127.0.0.1 and localhost that nobody trusts but these tests; its key is public by intent.

Valid from 2020 to 2120, whatever the clock of a test machine says. Made with ``openssl ca -selfsign``.
"""

from __future__ import annotations

import ssl
from pathlib import Path

_KEY = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg0JRsJOSwdw5daLI/
KEZd4DXqZwqg7K+1JIGy6CiS74KhRANCAATBdOmBPlJfnFr4UT2Jhd8YFl1jBraR
Ar5bIVEas2eCDPEJUYwXhOUUexYl2tFqyfL0RxCrGZn0mPJZhiCP0oNt
-----END PRIVATE KEY-----
"""
_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBmDCCAT6gAwIBAgIBATAKBggqhkjOPQQDAjAUMRIwEAYDVQQDDAlkdWx5IHRl
c3QwIBcNMjAwMTAxMDAwMDAwWhgPMjEyMDAxMDEwMDAwMDBaMBQxEjAQBgNVBAMM
CWR1bHkgdGVzdDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABMF06YE+Ul+cWvhR
PYmF3xgWXWMGtpECvlshURqzZ4IM8QlRjBeE5RR7FiXa0WrJ8vRHEKsZmfSY8lmG
II/Sg22jfzB9MBoGA1UdEQQTMBGCCWxvY2FsaG9zdIcEfwAAATAOBgNVHQ8BAf8E
BAMCAoQwDwYDVR0TAQH/BAUwAwEB/zAdBgNVHQ4EFgQUiImqGwAuBhYJunGxjNlp
qsOVjqgwHwYDVR0jBBgwFoAUiImqGwAuBhYJunGxjNlpqsOVjqgwCgYIKoZIzj0E
AwIDSAAwRQIgdo+uY9vhqxiFgRVc706riAjwhMD6oc2JbLuNjWWRzhcCIQC0wvCg
JIsZAmgRsKaobvIjVRKtQk2CYplEaP0Xn4/KMA==
-----END CERTIFICATE-----
"""


def server_context(folder: Path) -> ssl.SSLContext:
    """What a server on loopback presents; the files are written to *folder*."""
    chain = folder / "loopback.pem"
    chain.write_text(_KEY + _CERTIFICATE)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return context


def trusting_context() -> ssl.SSLContext:
    """A client that trusts that server, and verifies it."""
    return ssl.create_default_context(cadata=_CERTIFICATE)
