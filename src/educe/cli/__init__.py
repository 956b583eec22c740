"""The command `educe`."""
