"""The pipeline: plain functions that take a claimed job and leave its results in the database."""
