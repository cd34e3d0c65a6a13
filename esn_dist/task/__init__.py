"""The multiple-choice task: what is asked (prompt, option order) and how an answer is read (the cascade)."""
