"""etcd's member-to-member protocol."""
