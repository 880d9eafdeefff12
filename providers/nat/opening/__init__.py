"""What lets a bridge through UFW where no rule of a server does yet."""
