"""An image from outside: from files, from a remote, or bootstrapped."""
