"""The Pulumi engine: found on PATH, installed, or built from the published Go modules."""
