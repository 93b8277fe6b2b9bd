"""The ledger: what is known of each order, and of whoever works on it.

`batches.Ledger` admits orders, lends batches and settles them; beside it the feed,
the instances, and what is kept or erased.
"""
