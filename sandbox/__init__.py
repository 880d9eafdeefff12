"""A throwaway lab host, workstation and relay, made of namespaces on this machine."""
