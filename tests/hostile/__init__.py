"""Files from strangers: whatever is in them, reading ends in the project's own error or in what they hold."""
