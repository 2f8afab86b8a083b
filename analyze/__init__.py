"""The page that answers the questions: one HTML file made of the views in a DuckDB file."""
