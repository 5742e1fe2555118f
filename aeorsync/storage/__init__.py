"""Bytes on disk; blocking."""
