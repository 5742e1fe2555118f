"""HTTP out: the only floor that speaks httpx."""
