"""Judge a survey of a host: obstacles to a plan, and faults of the host; pure."""
