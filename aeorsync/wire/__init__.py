"""What both ends of a socket must agree on: pure."""
