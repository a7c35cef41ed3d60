"""One prefix of all keys: clients see what is under it, without it, and nothing else."""
