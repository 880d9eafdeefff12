"""What people put into shared files by hand: found, and taken over where they say so."""
