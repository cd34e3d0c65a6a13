"""The gated MLPs of a decoder: found by structure, counted, and scaled (folded into the weights or at the gate)."""
