"""The store on etcd; see `store`. Needs the extra `etcd`."""
