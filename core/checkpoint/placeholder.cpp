// Placeholder, to be replaced in this very change.
