"""The schema's history: Alembic runs it, `.sql` files beside it hold the SQL."""
