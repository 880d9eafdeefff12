"""Fakes of hosts and daemons; each passes the contract suite of the real thing."""
