"""The outside world of the example shop: a mail server, an SMS provider and a billing API, as one process.

They are real servers on loopback, so that what the shop meets is a socket that stays silent or breaks, and not a
stand-in inside its own process. The SMS provider and the billing API report what became of a message or an invoice,
truly or in a mood of their own, over HTTP to loopback. `python -m examples.shop.sandbox --directory DIR` starts them;
`examples.shop.sandbox.client` starts and steers them from Python. Nothing here imports the framework.
"""
