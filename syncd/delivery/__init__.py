"""From the ledger to Squeezely: claim, render, send, settle."""
