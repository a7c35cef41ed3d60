"""The tests: they mirror the package, plus interop (real etcd), differential, bench."""
