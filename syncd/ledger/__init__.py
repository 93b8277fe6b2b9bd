"""The ledger: the record of each order, and of the instances that process it.

`batches.Ledger` admits orders, lends batches and settles them; beside it the feed,
the instances, and what is kept or erased.
"""
