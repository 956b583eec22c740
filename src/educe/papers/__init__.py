"""One module per paper: its card, and where the reproduction exists, its run."""
