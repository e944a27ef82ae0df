"""What is said about a segmented scan: numbers and pictures."""
