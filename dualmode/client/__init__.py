"""The client that the proxy, the command line, peers and tests use."""
