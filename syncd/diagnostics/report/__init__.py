"""The report: a feed's period as one page to look at, read from the ledger alone."""
