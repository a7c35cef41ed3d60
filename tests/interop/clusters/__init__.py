"""Clusters of several members, ours and etcd's, as the interop tests run them."""
