"""dualmode beside etcd under the same load: `make bench`."""
