"""The worker: claims jobs, runs the pipeline, and the relay that hands jobs out."""
