"""The tests; a package, so that no installed one can take its name."""
