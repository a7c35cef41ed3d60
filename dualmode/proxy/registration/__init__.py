"""A proxy announces itself under a key of the cluster, sees the others that do, and names them as the members."""
