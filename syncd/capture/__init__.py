"""Ways to find newly confirmed orders; one admission into the ledger."""
