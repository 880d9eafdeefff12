"""What `lab doctor` reports; pure."""
