"""Golden cases by room."""
