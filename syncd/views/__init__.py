"""The two views of a shop: those that ship with syncd, and somebody's own in a file.

What other packages may import stands here.
"""

from syncd.views.shop import TEMPLATE, Shop, shop, shops, sql_of

__all__ = ["TEMPLATE", "Shop", "shop", "shops", "sql_of"]
