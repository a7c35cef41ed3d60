"""Real etcd, etcdctl, curl and grpcio against a running server, with etcd beside it as the oracle."""
