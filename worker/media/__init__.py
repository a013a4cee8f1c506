"""Everything that opens, decodes or looks at a video, kept behind one killable child process."""
