"""The two views of a shop: those that ship with syncd, and the operator's own file."""
