"""What a preview refuses: of a lab, a golden image, a lab host; pure."""
