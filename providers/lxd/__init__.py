"""What Grappe makes in LXD: projects, networks, containers and images."""
