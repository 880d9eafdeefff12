"""What unfinished runs left of a lab: it carries the lab's marks, and stands in no state."""
