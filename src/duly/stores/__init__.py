"""Keepers of the store port. Architecture invariant: no act is known here."""
