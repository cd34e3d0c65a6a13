"""Where actors run: Ray, behind the typed protocols of `worker.protocol`."""
