"""The editor services over the Language Server Protocol."""
