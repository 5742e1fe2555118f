"""HTTP out: the only floor that speaks httpx (`remote.connection`), or does without (`direct`)."""
