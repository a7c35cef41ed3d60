"""Files of bbolt, etcd's storage engine: what snapshots are, and what etcd keeps in `member/snap/db`."""
