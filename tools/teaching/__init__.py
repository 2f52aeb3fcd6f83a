"""What a teacher runs: the question bank with its exports and exams, and the assignments that grade themselves."""
