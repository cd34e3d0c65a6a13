"""What to run: the spec (one YAML file) and the plan (studies → cells → units); pure, deterministic, light."""
