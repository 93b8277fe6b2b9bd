"""What people and monitors ask: status, check, report, the history of an order.

The daemon asks one thing of it: whether a start is allowed (`check.start`).
"""
