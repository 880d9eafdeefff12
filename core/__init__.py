"""What every room may use: errors, mistakes, values, names."""
