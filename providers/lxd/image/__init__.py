"""An image from elsewhere: from files, from a remote, or bootstrapped."""
