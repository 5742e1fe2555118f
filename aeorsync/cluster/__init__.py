"""Replication with peers."""
