"""The two views of a shop: those that ship with syncd, and the operator's own file.

What other packages may import stands here.
"""

from syncd.setup.views.application import Application
from syncd.setup.views.detection import Detection, Recognised
from syncd.setup.views.file import ViewFile, ViewNames, read
from syncd.setup.views.shop import TEMPLATE, Shop, shop, shops, sql_of
from syncd.setup.views.trial import NEWEST_ORDERS, Trial, TrialResult

__all__ = [
    "NEWEST_ORDERS",
    "TEMPLATE",
    "Application",
    "Detection",
    "Recognised",
    "Shop",
    "Trial",
    "TrialResult",
    "ViewFile",
    "ViewNames",
    "read",
    "shop",
    "shops",
    "sql_of",
]
