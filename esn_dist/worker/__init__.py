"""The body of an actor: executes units on one loaded model, and the protocol between it and the runner."""
