"""Invoices, written by somebody else."""
