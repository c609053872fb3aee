"""The story of the shop, played end to end against the sandbox, and checked against what the providers wrote down.

Expected values come from the plan alone, seen values from the ledger, the queries and the providers' records alone.
"""
