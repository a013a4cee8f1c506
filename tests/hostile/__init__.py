"""Files made to do harm: a corpus of known tricks, and damaged copies of real videos."""
