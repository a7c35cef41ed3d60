"""Users, roles and tokens: who may do what (etcd's Auth service)."""
