"""Keeping a folder of this machine equal to a path on a server."""
