"""Kits for tests of applications, stores and gateways. Production code never imports it."""
