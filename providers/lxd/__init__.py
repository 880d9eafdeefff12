"""The resources in LXD: projects, networks, containers and images."""
