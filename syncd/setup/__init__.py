"""Setting a feed up: the ledger's schema, triggers and slots, and the two views."""
