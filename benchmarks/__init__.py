"""Speed: training steps against the machine's own matmul, and against another commit."""
