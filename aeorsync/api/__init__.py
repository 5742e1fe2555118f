"""HTTP in: the only floor that speaks starlette."""
