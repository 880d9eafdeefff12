"""What people see of a lab: its card, checks, topology, explanation; facts in, text out."""
