"""From what a survey found on a host to what is in the way there, or wrong with it; pure."""
