"""Every model behind one killable child process; see client.Encoders for the parent's side."""
