"""dualmode: an etcd v3 server and gateway in Python."""

__version__ = "0.1.0"

#: The etcd release whose behaviour we answer with. Clients and peers switch features on by this number.
ETCD_VERSION = "3.6.0"
#: The same as etcd's `/version` gives it for the cluster when no older member holds it back.
ETCD_CLUSTER_VERSION = "3.6.0"
