"""Talking to a server as a program does: files, versions, conflicts, keys, events."""
