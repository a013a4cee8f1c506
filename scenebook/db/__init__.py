"""Everything that talks to Postgres; nothing outside sees a row tuple."""
