"""The demo: a small shop, the real daemon and a fake Squeezely API, side by side.

Everything lives in one temporary folder and a few child processes; nothing of it is
left at the end.
"""
