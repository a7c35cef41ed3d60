"""The Election and Lock services: etcd's recipes of leases and keys, run by the member for its clients."""
