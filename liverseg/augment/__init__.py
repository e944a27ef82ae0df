"""Random transforms that make a few CT scans look like those of other hospitals."""
