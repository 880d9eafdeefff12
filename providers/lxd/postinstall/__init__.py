"""YunoHost's post-installation on a server: its domain, its administrator, its password."""
