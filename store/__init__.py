"""What the web process and the training process share: one database and its rules."""
