"""Components: which resources a lab is made of, and what waits for what."""
