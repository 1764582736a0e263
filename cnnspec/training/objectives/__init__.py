"""The loss and the figures of each task, one file for each; `make_objective` in `choose` picks one.

Importing this package imports nothing.
"""
