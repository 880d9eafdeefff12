"""Find what people put into shared files by hand, and take it over where they say so."""
