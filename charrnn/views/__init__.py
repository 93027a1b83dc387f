"""What people look at: comparisons and pages, and the data in them."""
