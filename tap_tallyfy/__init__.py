"""Singer tap for Tallyfy."""
