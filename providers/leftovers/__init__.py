"""Leftovers of unfinished runs: they carry a lab's marks, and no state knows them."""
