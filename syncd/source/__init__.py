"""The shop's order database: its two views, and its transactions in progress.

`orders.Source` reads orders, `connections` opens what a part of syncd needs.
"""
