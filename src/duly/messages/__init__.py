"""What is said: messages, their stored form and their names. Pure."""
