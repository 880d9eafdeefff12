"""What Grappe can make on a host: one folder for each kind of resource."""
